/* Pleat: runs ONNX models, folds BatchNormalization out of them, and validates their outputs. This header is all of the
 * public API. See README.md for an example. */
#ifndef PLEAT_PLEAT_H
#define PLEAT_PLEAT_H

#include "pleat/check.h"
#include "pleat/compare.h"
#include "pleat/fold.h"
#include "pleat/model.h"
#include "pleat/session.h"
#include "pleat/status.h"
#include "pleat/tensor.h"

#endif
