"""What all pages share: the document and its style, text made safe, intervals. No page of its own is here."""
