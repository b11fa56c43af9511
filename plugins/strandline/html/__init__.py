"""What all pages share: the document and its style, text made safe. No page of its own is here."""
