"""Training of networks: one loop for the segmentation network, the student network and EvalSeg-Net.

loop.py                  the training loop; what a training job must provide
loader.py                batches of samples, loaded by worker processes within the shared memory of the machine
segmentation.py          loss, optimizer and schedule of the segmentation network
segmentation_samples.py  photos with class masks, augmented
student.py               loss, optimizer and schedule of the student network and of EvalSeg-Net
student_samples.py       photos with soft masks, augmented
sampler.py               order of the photos, which depends on the seed and the step only
schedule.py              learning rate by step
checkpoint.py            state from which a stopped training resumes
log.py                   losses and learning rates as CSV and for TensorBoard
"""
