"""``python -m coarse2fine``, for launchers such as torchrun."""

from coarse2fine.cli import main

main()
