/* Document: what the parts of a document of Office have in common. Not for other folders: opener.h is the door. */
#ifndef KAV_DOCUMENT_H
#define KAV_DOCUMENT_H

#include "cfb.h"
#include "numbers.h"

#define KAV_OLE_LOAD_MAX (32u << 20) /* what of one stream is held in memory; more is said, not passed over */

/* The functions below hand parts to the sink; false: stop, a budget is used up. */

/* vba.c: the project whose directory is this stream, if it is one: one text of all modules, as a part, and each module
 * as it stands. */
bool kav_vba_pass(kav_cfb *c, const kav_cfb_entry *dir, kav_unpack *u);

/* native.c: the file in a package ("\1Ole10Native", or data of an RTF object), as a part. name: where it has none. */
bool kav_native_pass(const uint8_t *bytes, size_t len, const char *name, size_t name_len, kav_unpack *u);

/* powerpoint.c: the objects that a stream "PowerPoint Document" holds packed. */
bool kav_powerpoint_pass(const uint8_t *bytes, size_t len, kav_unpack *u);

/* workbook.c: whether a stream "Workbook" or "Book" has sheets of macros (Excel 4.0). */
bool kav_workbook_has_macro_sheet(kav_cfb *c, const kav_cfb_entry *e);

/* protect.c: KAV_R_ENCRYPTED when the document wants a password before it shows anything. */
uint32_t kav_ole_protected(kav_cfb *c);

#endif
