"""Distillation: soft masks from videos by VideoPCA (the teacher), and student networks trained on soft masks.

teacher.py               videos -> soft masks and selection.csv
videopca.py              frames of one video -> soft masks
principal_components.py  principal directions of many frames
selection.py             score of a soft mask; the best share of them
generations.py           soft masks -> student network; its masks of new photos -> the next generation
examples.py              photos and soft masks that a student network trains on
soft_masks.py            soft masks of new photos: centered, scored, aligned with edges
"""
