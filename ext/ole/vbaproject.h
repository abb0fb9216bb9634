/* Vbaproject: what vba.c (modules) and vbaproject.c (records of the directory) share. */
#ifndef KAV_VBAPROJECT_H
#define KAV_VBAPROJECT_H

#include "document.h"
#include "ovba.h"
#include "vbatext.h"

#define KAV_VBA_FIRST      0x0001 /* the record that every directory begins with */
#define KAV_CODEPAGE_LATIN 28591  /* until a record says which it is */

typedef struct {
    const kav_cfb_entry *stream;
    uint32_t offset; /* of the packed source in it */
} kav_vba_module;

typedef struct {
    kav_cfb *cfb;
    kav_unpack *unpack;
    uint32_t storage; /* with all streams of the project */
    uint16_t codepage;
    uint8_t *directory; /* unpacked */
    size_t directory_len, directory_room;
    kav_vba_module *modules; /* that were found */
    uint32_t module_count, module_room;
} kav_vba;

/* Write all records and sources into the part in hand, and note the modules. Returns KAV_R_* bits. */
uint32_t kav_vba_records(kav_vba *v);

/* Write the source of a module into the part in hand. Returns KAV_R_* bits. */
uint32_t kav_vba_source(kav_vba *v, const kav_vba_module *m, bool normal);

#endif
