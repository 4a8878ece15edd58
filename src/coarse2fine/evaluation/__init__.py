"""Metrics against ground truth, and the quality of masks without ground truth.

evaluate.py             compare masks or a network with ground truth
result.py               the result of an evaluation
metrics.py              confusion matrix, IoU, pixel accuracy
ground_truth.py         recognize ground truth and check that it fits a data set
ground_truth_reader.py  read ground-truth masks with the class indices of a run
pairing.py              pair photos or masks with ground truth of the same names
class_names.py          class names of a folder of masks
mask_quality.py         quality score of a mask, without ground truth
quality_table.py        the tables ``quality.csv`` and ``quality-classes.csv``
voc_submission.py       the archive for the evaluation server of PASCAL VOC
"""
