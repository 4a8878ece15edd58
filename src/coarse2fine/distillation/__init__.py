"""Videos to soft masks (VideoPCA), and soft masks to student networks, generation by generation."""
