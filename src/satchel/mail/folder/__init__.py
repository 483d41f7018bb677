"""The embedded mail source: Maildirs, mbox files and folders of .eml files below one root."""

from satchel.mail.folder.source import FolderSource

__all__ = ["FolderSource"]
