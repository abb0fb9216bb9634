"""Mail programs of others: what in their configuration sends mail through our scanner, and takes it back.

wish     what is asked for: which way, which addresses       marks    our blocks in a text, and the text without them
postfix exim sendmail qmail   decisions: texts in, texts out  tools    their own programs: postconf, exim4 -bV
files    one file exchanged as a whole                        kept     copies, the record of what was done, undoing
found    which of them are here, and where
"""
