/* SPDX-License-Identifier: MIT */
/* What is told of a data set that was loaded, beside its images. */
#ifndef TOOLS_SHARED_DATA_NOTES_H
#define TOOLS_SHARED_DATA_NOTES_H

#include "nn/dataset.h"

/* A line on stderr for each thing that happened; none if there is nothing to tell. */
void data_notes_report(const nn_data_notes *notes);

#endif
