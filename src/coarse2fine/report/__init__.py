"""The HTML report of a run, the comparison of two runs, and a picture of its masks from stage to stage.

page.py             writes the report; page.html.j2 is its template
comparison_page.py  writes the comparison of two runs; comparison.html.j2 is its template
comparison.py       compares the masks and figures of two runs
template.py         renders templates; parts.html.j2 and style.css are parts of both
run_summary.py      reads from a run folder what the report shows
facts.py            a run or a network as plain values, for ``info`` and ``--json``
model_card.py       the card of a trained network; model_card.md.j2 is its template
tables.py           classes, reasons, scores and confusions
charts.py           line charts
next_steps.py       what to do next, with commands
hints.py            unusual results
photo_selection.py  which photos are shown
photo_rows.py       the rows of pictures
thumbnails.py       pictures as data URIs
contact_sheet.py    one picture of a run: photos in rows, stages in columns
"""
