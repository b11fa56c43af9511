"""From untrusted bytes to pixels, in processes that may die of them. Nothing here knows a network."""
