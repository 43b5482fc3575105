"""The agent backend, halfway through a migration: what lies in this folder takes the place of golden-path's module of
the same name, and all others are golden-path's, whose service folder is on PYTHONPATH.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = "1.5.0"
