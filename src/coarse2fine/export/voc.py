"""PASCAL VOC: palette PNGs of class indices beside the photos.

Source: VOC 2012 development kit; labelmap.txt as CVAT and Datumaro write it.
"""

from contextlib import ExitStack

from coarse2fine.corrections.photo_names import sanitize_name
from coarse2fine.export.mask_format import (
    LoadedPhoto,
    MaskExport,
    MaskFormat,
    save_photo,
    write_bytes,
    write_lines,
)
from coarse2fine.export.streamed_files import open_score_table
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import encode_mask
from coarse2fine.runtime.files import write_json


def write_voc(export: MaskExport) -> None:
    """Write ``JPEGImages``, ``SegmentationClass``, ``labelmap.txt``, ``quality.csv``, and lists of the photos.

    The lists are ``train``, and with photos for validation ``val`` and ``trainval``.

    Readers of this format expect JPEG photos, so other photos are encoded again as JPEG.
    """
    folder = export.folder

    def write_photo(photo: LoadedPhoto) -> LoadedPhoto:
        write_bytes(folder / "SegmentationClass" / f"{photo.name}.png", encode_mask(photo.mask))
        encode_as = "JPEG" if photo.header.kind != "JPEG" or photo.header.turned else None
        save_photo(photo.source.path, folder / "JPEGImages" / f"{photo.name}.jpg", export.config.images, encode_as)
        return photo

    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    names = ("train", "val", "trainval") if export.source.validation else ("train",)
    with ExitStack() as stack:
        add_score = stack.enter_context(open_score_table(export))
        files = {
            name: stack.enter_context((lists / f"{name}.txt").open("w", encoding="utf-8", newline="\n"))
            for name in names
        }
        for photo in export.map_photos(write_photo):
            for name in {photo.split, names[-1]}:
                files[name].write(photo.name + "\n")
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
