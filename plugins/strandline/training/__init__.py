"""What a challenger learns from, and the requests that train, evaluate and package it.

The training itself runs in the vision container; whether its outcome may be champion is for `promotion`.
"""
