"""PASCAL VOC's tree: palette PNGs of class indices beside the photos.

Source: VOC 2012 development kit; labelmap.txt as CVAT and Datumaro write it.
"""

from coarse2fine.corrections.names import plain_text
from coarse2fine.export.mask_export import Job, Opened, carry_file, write_bytes, write_lines
from coarse2fine.export.streamed_files import QualityTable
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import encode_mask
from coarse2fine.runtime.files import write_json

LIST = "train"


def write_voc(job: Job) -> None:
    """Write JPEGImages, SegmentationClass, the list ``train``, class names with colors, and scores in a table.

    The tree knows photos as JPEG only: others are written anew as such.
    """

    def write(photo: Opened) -> Opened:
        write_bytes(job.folder / "SegmentationClass" / f"{photo.name}.png", encode_mask(photo.mask))
        anew = "JPEG" if photo.header.kind != "JPEG" or photo.header.turned else None
        carry_file(photo.sample.photo, job.folder / "JPEGImages" / f"{photo.name}.jpg", job.config.images, anew)
        return photo

    lists = job.folder / "ImageSets" / "Segmentation" / f"{LIST}.txt"
    lists.parent.mkdir(parents=True)
    with lists.open("w", encoding="utf-8", newline="\n") as names, QualityTable(job) as table:
        for photo in job.each(write):
            names.write(photo.name + "\n")
            table.add(photo)
    colors = color_table()
    write_lines(
        job.folder / "labelmap.txt",
        ["# label:color_rgb:parts:actions"]
        + [
            f"{plain_text(name).replace(':', '_')}:{','.join(map(str, colors[label].tolist()))}::"
            for label, name in enumerate(job.classes)
        ],
    )
    write_json(job.folder / "classes.json", list(job.classes))
