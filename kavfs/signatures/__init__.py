"""Signatures: readers of the database formats, the compiler to segments and images, listing.

image.py      open_image: what a scan needs                 sources.py  database files on paths, default places
renew.py      what is missing is compiled                   store.py    the state folder; locks, renames
catalog.py    what an image says about itself               imagefile.py  all of it in one file
delta.py      what is new since older generations, compiled  history.py  those generations  changes.py  per kind
segment.py    one file compiled                             lines.py kinds.py ndb.py ldb.py ignore.py  readers
"""
