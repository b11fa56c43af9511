"""Model versions, their bundles and datasets: the only ways to one.

Who is champion changes in `promotion` alone.
"""
