"""Starting, testing and stopping the product as one program: plain Python, no Django."""
