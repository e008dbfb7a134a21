"""A model as a file for another runtime: written, opened again, compared.

The package is not called ``export``, because `seam.export` is the function that users call.
"""
