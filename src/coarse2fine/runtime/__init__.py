"""What any program needs: atomic files, console output, processes and threads, seeds, device choice."""
