"""Why an entry did not become an image, and what was done to one that did. `docs/reasons.md` explains each code."""

DECODED = "decoded"

QUARANTINED = {
    "EMPTY": "The file has no bytes.",
    "TRUNCATED": "The file ends before its image does.",
    "CORRUPT": "The file is not what its format asks for.",
    "UNIDENTIFIED": "The first bytes are those of no known image format.",
    "FORMAT_NOT_ALLOWED": "The image format is known, and not in the list of allowed formats.",
    "ARCHIVE": "The file is an archive; archives are never unpacked.",
    "TOO_MANY_PIXELS": "Width times height is over the limit.",
    "TOO_LONG_SIDE": "The longest side is over the limit.",
    "TOO_SMALL": "The shortest side is under the limit.",
    "BAD_ASPECT": "The longest side over the shortest side is over the limit.",
    "METADATA_BOMB": "The metadata, packed or unpacked, is over the limit.",
    "MULTIPAGE": "The file has more than one page, and none of them is the image.",
    "UNSUPPORTED_DEPTH": "The samples have a depth that has no agreed scale to 8 bits.",
    "UNSUPPORTED_MODE": "The colour space has no agreed conversion to RGB.",
    "UNSUPPORTED_CODING": "The format allows this way to store pixels, and the decoder cannot read it.",
    "TIMEOUT": "Decoding took more time than the limit, twice.",
    "OUT_OF_MEMORY": "Decoding took more memory than the limit, twice.",
    "DECODER_CRASHED": "The decoding process died over this file, twice.",
    "UNREADABLE": "The file could not be opened or read whole.",
}
REJECTED = {
    "SYMLINK": "The file, or a folder on the way to it, is a symbolic link.",
    "SPECIAL": "The name is that of a pipe, a socket or a device.",
    "DIR": "The name is that of a folder.",
    "TOO_LARGE": "The file has more bytes than the limit; it was not read.",
    "OTHER_DEVICE": "The file lies on another file system than the landing zone.",
    "NAME_TOO_LONG": "The name or the path is longer than the file system allows.",
    "BAD_NAME": "The name is empty, absolute, or leads out of the landing zone.",
    "NOT_IMAGE": "The name is that of a file which is no image, such as a label file or a folder's thumbnail cache.",
    "PARTIAL_NAME": "The name says that the file is not finished, and it has been so for too long.",
}
VANISHED = {
    "MISSING": "The file was gone when it was to be read.",
    "CHANGED": "The file changed after it was listed; the next run lists its new version.",
}
MEANINGS = QUARANTINED | REJECTED | VANISHED
NOTES = {
    "TRAILER_MISSING": "The last bytes of the file are missing; every pixel is there.",
    "TRAILING_DATA": "There are bytes behind the image; they count for its identity and are not looked at.",
    "EXT_MISMATCH": "The extension of the name is not one of the format.",
    "CONVERTED": "The colours were converted to RGB.",
    "SCALED_16_TO_8": "Samples of 9 to 16 bits were scaled to 8, not clipped.",
    "ALPHA": "Transparency was composited on white.",
    "ALL_TRANSPARENT": "Every pixel is fully transparent: what was composited is all white.",
    "ANIMATED": "The first frame was taken.",
    "MULTI_PICTURE": "The file holds several images; the main one was taken.",
    "REDUCED": "More pixels than the limit: the image was decoded at a half, a quarter or an eighth of its size.",
    "METADATA_LARGE": "The metadata is over the limit for what has to be unpacked; none of it was.",
    "ORIENTED": "The image was turned upright, as its EXIF orientation says.",
    "ORIENTATION_INVALID": "The EXIF orientation cannot be read or is none of 1 to 8: the image is as stored.",
    "EXIF_DROPPED": "EXIF data was not kept.",
    "ICC_DROPPED": "A colour profile was neither applied nor kept.",
}
# Why an image that was decoded has no prediction.
NOT_FINITE = "NOT_FINITE"  # probabilities that are no numbers
CRASHED, HUNG = "CLASSIFIER_CRASHED", "CLASSIFIER_HUNG"  # the network's process died over it, or did not answer
STATUS_OF = {
    code: status
    for status, codes in (("quarantined", QUARANTINED), ("rejected", REJECTED), ("vanished", VANISHED))
    for code in codes
}
