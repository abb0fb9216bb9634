/* Rest: give back what a start, or a time of work, has used and a process that waits does not: free memory, and the
 * pages of programs and libraries, of which the linker alone maps more than is ever run. Nothing is lost: what is
 * needed is mapped again, page by page.
 */
#ifndef KAV_REST_H
#define KAV_REST_H

void kav_rest(void);

#endif
