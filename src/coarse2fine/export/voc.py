"""PASCAL VOC: palette PNGs of class indices beside the photos.

Source: VOC 2012 development kit; labelmap.txt as CVAT and Datumaro write it.
"""

from coarse2fine.corrections.photo_names import sanitize_name
from coarse2fine.export.mask_format import LoadedPhoto, MaskExport, MaskFormat, save_photo, write_bytes, write_lines
from coarse2fine.export.streamed_files import open_score_table
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import encode_mask
from coarse2fine.runtime.files import write_json

LIST_NAME = "train"


def write_voc(export: MaskExport) -> None:
    """Write ``JPEGImages``, ``SegmentationClass``, the list ``train``, ``labelmap.txt`` and ``quality.csv``.

    Readers of this format expect JPEG photos, so other photos are encoded again as JPEG.
    """
    folder = export.folder

    def write_photo(photo: LoadedPhoto) -> LoadedPhoto:
        write_bytes(folder / "SegmentationClass" / f"{photo.name}.png", encode_mask(photo.mask))
        encode_as = "JPEG" if photo.header.kind != "JPEG" or photo.header.turned else None
        save_photo(photo.source.path, folder / "JPEGImages" / f"{photo.name}.jpg", export.config.images, encode_as)
        return photo

    list_path = folder / "ImageSets" / "Segmentation" / f"{LIST_NAME}.txt"
    list_path.parent.mkdir(parents=True)
    with list_path.open("w", encoding="utf-8", newline="\n") as names, open_score_table(export) as add_score:
        for photo in export.map_photos(write_photo):
            names.write(photo.name + "\n")
            add_score(photo)
    colors = color_table()
    write_lines(
        folder / "labelmap.txt",
        ["# label:color_rgb:parts:actions"]
        + [
            f"{sanitize_name(name).replace(':', '_')}:{','.join(map(str, colors[label].tolist()))}::"
            for label, name in enumerate(export.source.classes)
        ],
    )
    write_json(folder / "classes.json", list(export.source.classes))


VOC = MaskFormat(write_voc, has_instances=False)
