"""Images in the order, size and variation that steps see them."""
