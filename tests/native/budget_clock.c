/* Drives a budget with a clock of its own: lines of "milliseconds" on standard input, an answer for each. */
#include "budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    kav_limits limits = {.time_base_ms = 10000};
    kav_budget budget;
    uint64_t now;
    kav_budget_start(&budget, &limits, 0);
    budget.last_ns = 0; /* as if the first tick were still to come */
    while (scanf("%" SCNu64, &now) == 1) puts(kav_budget_tick_at(&budget, now * 1000000) ? "late" : "on time");
    return 0;
}
