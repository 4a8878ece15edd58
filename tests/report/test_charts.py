from coarse2fine.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, make_charts
from coarse2fine.report.run_summary import read_run_summary


def test_make_charts__curves_lie_where_their_values_are(draw_run):
    iou, quality, kept, loss = make_charts(read_run_summary(*draw_run({"cat": ["cat/0", "cat/1"]})))
    assert [curve.name for curve in iou.curves] == [
        "network on other photos",
        "training masks, predicted",
        "training masks, enhanced",
    ]
    first, second = quality.curves[0].points
    assert (first.x, second.x) == (LEFT, WIDTH - RIGHT)
    assert first.y == HEIGHT - BOTTOM - 0.5 * (HEIGHT - TOP - BOTTOM) and first.text == "0.50"
    assert (first.anchor, second.anchor) == ("start", "end")
    assert [point.text for point in kept.curves[0].points] == ["1", "1"] and kept.y_ticks[-1][1] == "2"
    assert [point.text for point in loss.curves[0].points] == ["1.00", "0.50"]
    assert [text for _, text in loss.y_ticks] == ["0.00", "0.60", "1.20"]
    assert loss.curves[0].points[1].y > loss.curves[0].points[0].y > TOP
    assert quality.summary == "By round. score: 1: 0.50, 2: 0.50."
    assert not any(point.shows_text for curve in iou.curves for point in curve.points)


def test_make_charts__one_round_and_none(draw_run):
    charts = make_charts(read_run_summary(*draw_run({"cat": ["cat/0"]}, rounds=1, measured=False)))
    assert [len(chart.curves[0].points) for chart in charts] == [1, 1, 1]
    assert charts[0].curves[0].points[0].x == (LEFT + WIDTH - RIGHT) / 2


def test_make_charts__nothing_without_a_round(draw_run):
    assert make_charts(read_run_summary(*draw_run({"cat": ["cat/0"]}, done=0))) == []


def test_make_charts__many_rounds_label_only_some(draw_run):
    chart = make_charts(read_run_summary(*draw_run({"cat": ["cat/0"]}, rounds=25)))[1]
    assert len(chart.x_ticks) <= 11 and sum(point.shows_text for point in chart.curves[0].points) == 2
