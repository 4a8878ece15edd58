"""Functions on mask arrays, and masks as PNG files and run-length encodings.

regions.py     foreground, boxes and components of a mask
objects.py     objects in a mask: classes, or their connected parts
polygons.py    masks as polygons that fill to the same masks
resize.py      resize photos, masks and probabilities
labels.py      masks of photos with no, one or several labels: which pixels are foreground, and of which class
constraint.py  constrain a prediction to the label of its photo; filter masks by their foreground share
palette.py     PASCAL VOC colors, and masks drawn over photos
image_check.py check that arrays from callers are images and masks
png.py         masks and soft masks as PNG files
run_length.py  run-length encodings of Label Studio and CVAT
"""
