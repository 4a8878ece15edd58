"""What any program needs.

files.py        atomic files and folders, JSON, CSV, hashes
names.py        names that were read from files, confined to their folder
console.py      lines, tables and progress in the terminal
lock.py         locks between processes
context.py      the processes of a run and the console they print to
processes.py    several processes under torchrun or SLURM
threads.py      thread pools with bounded look-ahead; threads of OpenCV and torch
device.py       CPU or GPU, number format, determinism, versions
seeds.py        derived random seeds
pixel_limit.py  Pillow's limit on the number of pixels
"""
