"""What any program needs.

files.py        atomic files and folders, JSON, CSV, hashes
names.py        names that were read from files, confined to their folder
console.py      lines, tables and progress in the terminal
standard_output.py
                output that lacks characters or is not read any more
lock.py         locks between processes
context.py      the processes of a run and the console they print to
processes.py    several processes under torchrun or SLURM
threads.py      thread pools with bounded look-ahead; threads of OpenCV and torch
metric_loggers.py
                figures of a run for Weights & Biases or MLflow
extras.py       optional dependencies: how to install them
environment.py  machine, devices, versions and missing dependencies, for doctor
device.py       CPU or GPU, number format, determinism, versions
seeds.py        derived random seeds
signals.py      SIGINT and SIGTERM that wait for the end of a step
decoding_limits.py
                refuse image files that would take far too long to decode
pixel_limit.py  Pillow's limit on the number of pixels
"""
