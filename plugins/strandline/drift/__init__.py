"""What changed between a champion's reference and a window of predictions: for people to read, and machines to act on.

Whether another model is better does not belong here (`promotion`), nor statistics that both need (`stats`).
"""
