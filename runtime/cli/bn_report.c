/* A picture of a model's BatchNormalizations, as SVG: a row a layer, two panels. The left one shows |scale| over the
 * channels on a logarithmic axis, the right one shift on an axis that is logarithmic away from 0 (asinh). In each row a
 * line spans minimum to maximum, a box the quartiles, and a dark tick marks the median (a box plot, Tukey 1977).
 *
 * Marked as risky, with the reason beside the row: a scale far above the layer's usual ones or large in itself (both
 * amplify rounding errors, and overflow float16 weights), and a variance that epsilon outweighs (the channel was dead
 * in training, and its scale means little). */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"

enum {
  WIDTH = 1530,
  LEFT = 300, /* names end here */
  PANEL = 360,
  GAP = 48,
  TOP = 112, /* the first row */
  ROW = 18,
  BOTTOM = 48,
  NAME_LENGTH = 42, /* characters of a name that have room */
  NOTE_LENGTH = 80, /* and of what stands beside a row */
  DECADES = 8,      /* of |scale|, at most */
};

#define RISK_SPREAD 100.0 /* largest |scale| over its median */
#define RISK_SCALE  1e3
#define SHIFT_UNIT  0.1 /* below this the shift's axis is about linear */

#define INK   "#1a1a1a"
#define FAINT "#6b6b6b"
#define CALM  "#2b6ca3"
#define RISK  "#b2182b"

/* Five numbers of one row in one panel. */
typedef struct spread {
  double low, first, median, third, high;
} spread;

typedef struct row {
  const pleat_norm *norm;
  spread scale, shift;
  size_t zeros;       /* channels whose scale is 0 */
  char note[160];     /* why it is risky */
  const char *remark; /* what the fold says of it beyond where it went; "" for nothing */
} row;

/* A panel: `low` and `high` are positions on the transformed axis. */
typedef struct panel {
  double left, low, high;
  double (*transform)(double value);
} panel;

/* ---- numbers ---- */

static double of_scale(double value) {
  return value > 0 ? log10(value) : -HUGE_VAL;
}

static double of_shift(double value) {
  return asinh(value / SHIFT_UNIT) / log(10);
}

static int by_value(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Interpolates between the two nearest of sorted values. */
static double quantile(const double *sorted, size_t count, double part) {
  const double at = part * (double)(count - 1);
  const size_t index = (size_t)at;
  if (index + 1 >= count) return sorted[count - 1];
  return sorted[index] + (at - (double)index) * (sorted[index + 1] - sorted[index]);
}

static spread spread_of(double *values, size_t count) {
  qsort(values, count, sizeof *values, by_value);
  return (spread){values[0], quantile(values, count, 0.25), quantile(values, count, 0.5), quantile(values, count, 0.75),
                  values[count - 1]};
}

static void add_note(row *row, const char *format, double value, size_t count) {
  const size_t used = strlen(row->note);
  const int wrote = snprintf(row->note + used, sizeof row->note - used, "%s", used > 0 ? "; " : "");
  if (wrote < 0 || used + (size_t)wrote >= sizeof row->note) return;
  char *end = row->note + used + (size_t)wrote;
  if (count > 0) snprintf(end, sizeof row->note - (size_t)(end - row->note), format, count);
  else snprintf(end, sizeof row->note - (size_t)(end - row->note), format, value);
}

/* The fold's remark on a layer that it folded. */
static const char *remark_on(const pleat_fold_report *report, const char *node) {
  for (size_t i = 0; i < report->entry_count; i++) {
    const pleat_fold_entry *entry = &report->entries[i];
    if (entry->action == PLEAT_FOLD_FOLDED && strcmp(entry->node, node) == 0) return entry->reason;
  }
  return "";
}

static row measure(const pleat_norm *norm, const pleat_fold_report *report) {
  row row = {.norm = norm, .remark = remark_on(report, norm->node)};
  const size_t count = norm->channels;
  if (count == 0) return row;
  double *values = cli_calloc(count, sizeof *values);
  size_t weak = 0;
  for (size_t i = 0; i < count; i++) {
    values[i] = fabs(norm->scale[i]);
    row.zeros += values[i] == 0;
    weak += norm->variance[i] < norm->epsilon;
  }
  row.scale = spread_of(values, count);
  for (size_t i = 0; i < count; i++) values[i] = norm->shift[i];
  row.shift = spread_of(values, count);
  free(values);
  if (row.scale.median > 0 && row.scale.high / row.scale.median > RISK_SPREAD)
    add_note(&row, "max |s| %.3g x median", row.scale.high / row.scale.median, 0);
  if (row.scale.high > RISK_SCALE) add_note(&row, "|s| to %.3g", row.scale.high, 0);
  if (weak > 0) add_note(&row, "variance below epsilon: %zu ch.", 0, weak);
  return row;
}

static panel scale_panel(const row *rows, size_t count) {
  double low = 0, high = 0;
  bool any = false;
  for (size_t i = 0; i < count; i++) {
    const size_t channels = rows[i].norm->channels;
    for (size_t c = 0; c < channels; c++) {
      const double at = of_scale(fabs(rows[i].norm->scale[c]));
      if (!isfinite(at)) continue;
      low = any ? fmin(low, at) : at;
      high = any ? fmax(high, at) : at;
      any = true;
    }
  }
  low = floor(low);
  high = fmax(ceil(high), low + 1);
  return (panel){.left = LEFT + 12, .low = fmax(low, high - DECADES), .high = high, .transform = of_scale};
}

static panel shift_panel(const row *rows, size_t count) {
  double low = -1, high = 1; /* so that the decades around 0 are always there */
  for (size_t i = 0; i < count; i++) {
    if (rows[i].norm->channels == 0) continue;
    low = fmin(low, rows[i].shift.low);
    high = fmax(high, rows[i].shift.high);
  }
  low = -pow(10, ceil(log10(-low)));
  high = pow(10, ceil(log10(high)));
  return (panel){.left = LEFT + 12 + PANEL + GAP, .low = of_shift(low), .high = of_shift(high), .transform = of_shift};
}

static double x_of(const panel *panel, double value) {
  double at = (panel->transform(value) - panel->low) / (panel->high - panel->low);
  at = at < 0 ? 0 : at > 1 ? 1 : at; /* zeros, and what is beyond the decades shown, stick to the edge */
  return panel->left + at * PANEL;
}

/* ---- text ---- */

/* Bytes of the UTF-8 character at `text`; 0 when it is none, or a control character. */
static size_t character(const char *text) {
  const unsigned char *c = (const unsigned char *)text;
  if (*c < 0x80) return *c >= 0x20 && *c != 0x7f;
  const size_t length = *c >= 0xf5 ? 0 : *c >= 0xf0 ? 4 : *c >= 0xe0 ? 3 : *c >= 0xc2 ? 2 : 0;
  for (size_t i = 1; i < length; i++)
    if ((c[i] & 0xc0) != 0x80) return 0;
  /* Surrogates, overlong forms, and what XML does not allow. */
  if (length == 3 &&
      ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) || (*c == 0xef && c[1] == 0xbf && c[2] > 0xbd)))
    return 0;
  return length == 4 && ((*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f)) ? 0 : length;
}

static void put_escaped(FILE *file, const char *text, size_t limit) {
  size_t length = 0, skip = 0;
  for (const char *c = text; *c; c += character(c) ? character(c) : 1) length++;
  if (length > limit) { /* the end of a name tells layers apart */
    skip = length - limit + 1;
    fputs("\xe2\x80\xa6", file);
  }
  for (const char *c = text; *c;) {
    const size_t bytes = character(c);
    if (skip > 0) skip--;
    else if (bytes == 0) putc('?', file);
    else if (*c == '&') fputs("&amp;", file);
    else if (*c == '<') fputs("&lt;", file);
    else if (*c == '>') fputs("&gt;", file);
    else if (*c == '"') fputs("&quot;", file);
    else fwrite(c, 1, bytes, file);
    c += bytes ? bytes : 1;
  }
}

static void put_text(FILE *file, double x, double y, const char *style, const char *text, size_t limit) {
  fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
  put_escaped(file, text, limit);
  fputs("</text>\n", file);
}

/* ---- drawing ---- */

static void draw_tick(FILE *file, const panel *panel, double value, double end, bool strong) {
  const double x = x_of(panel, value);
  char label[32];
  fprintf(file, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x, TOP - 4, x, end + 4,
          strong ? "#9a9a9a" : "#dcdcdc");
  snprintf(label, sizeof label, fabs(value) > 1e4 || (value != 0 && fabs(value) < 1e-3) ? "%.0e" : "%g", value);
  put_text(file, x, TOP - 9, "text-anchor=\"middle\" fill=\"" FAINT "\"", label, sizeof label);
  put_text(file, x, end + 17, "text-anchor=\"middle\" fill=\"" FAINT "\"", label, sizeof label);
}

static void draw_axes(FILE *file, const panel *scale, const panel *shift, double end) {
  const int decades = (int)lround(scale->high - scale->low), every = decades > 7 ? 2 : 1;
  for (int i = 0; i <= decades; i += every) {
    const double exponent = scale->low + i;
    draw_tick(file, scale, pow(10, exponent), end, exponent == 0);
  }
  draw_tick(file, shift, 0, end, true);
  const double most = fmax(shift->high, -shift->low);
  const int step = most > 6 ? 2 : 1;
  for (int exponent = 0; of_shift(pow(10, exponent)) <= most + 1e-9; exponent += step) {
    const double value = pow(10, exponent);
    if (of_shift(value) <= shift->high + 1e-9) draw_tick(file, shift, value, end, false);
    if (of_shift(-value) >= shift->low - 1e-9) draw_tick(file, shift, -value, end, false);
  }
  const char *style = "text-anchor=\"middle\" fill=\"" INK "\" font-weight=\"bold\"";
  put_text(file, scale->left + PANEL / 2.0, TOP - 27, style, "|s| of the channels, logarithmic", 80);
  put_text(file, shift->left + PANEL / 2.0, TOP - 27, style, "t of the channels, logarithmic away from 0", 80);
  for (int i = 0; i < 2; i++)
    fprintf(file, "<rect x=\"%.1f\" y=\"%d\" width=\"%d\" height=\"%.1f\" fill=\"none\" stroke=\"#9a9a9a\"/>\n",
            (i == 0 ? scale : shift)->left, TOP - 4, PANEL, end - TOP + 8);
}

static void draw_spread(FILE *file, const panel *panel, const spread *spread, double y, const char *colour) {
  const double middle = y + ROW / 2.0, low = x_of(panel, spread->low), high = x_of(panel, spread->high);
  const double first = x_of(panel, spread->first), third = x_of(panel, spread->third);
  const double median = x_of(panel, spread->median);
  fprintf(file, "<path d=\"M%.1f %.1fV%.1fM%.1f %.1fH%.1fM%.1f %.1fV%.1f\" stroke=\"%s\" fill=\"none\"/>\n", low,
          middle - 3, middle + 3, low, middle, high, high, middle - 3, middle + 3, colour);
  fprintf(file,
          "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"8\" fill=\"%s\" fill-opacity=\"0.35\" stroke=\"%s\"/>\n",
          first, middle - 4, fmax(third - first, 1), colour, colour);
  fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"" INK "\" stroke-width=\"2\"/>\n",
          median, middle - 5, median, middle + 5);
}

/* Beside the row: what is risky about it, else what is unusual; then what the fold says. */
static void put_notes(FILE *file, const row *row, double x, double y) {
  const bool risky = row->note[0] != '\0';
  char note[2 * sizeof row->note + NOTE_LENGTH] = "";
  if (risky) snprintf(note, sizeof note, "%s", row->note);
  else if (row->zeros > 0) snprintf(note, sizeof note, "s = 0: %zu ch.", row->zeros);
  if (*row->remark) {
    const size_t used = strlen(note);
    snprintf(note + used, sizeof note - used, "%sinto %s", used > 0 ? "; " : "", row->remark);
  }
  if (note[0] != '\0') {
    put_text(file, x, y, risky ? "fill=\"" RISK "\"" : "fill=\"" FAINT "\"", note, NOTE_LENGTH);
  }
}

static void draw_row(FILE *file, const row *row, size_t index, const panel *scale, const panel *shift) {
  const double y = TOP + (double)(index * ROW), text = y + 13;
  const bool risky = row->note[0] != '\0';
  fputs("<g>", file);
  fputs("<title>", file);
  put_escaped(file, row->norm->node, SIZE_MAX);
  fprintf(file, ": %zu channels%s", row->norm->channels, *row->remark ? "; folded into " : "");
  put_escaped(file, row->remark, SIZE_MAX);
  fputs("</title>\n", file);
  put_text(file, LEFT, text,
           risky ? "text-anchor=\"end\" fill=\"" RISK "\" font-weight=\"bold\""
                 : "text-anchor=\"end\" fill=\"" INK "\"",
           row->norm->node, risky ? NAME_LENGTH - 4 : NAME_LENGTH);
  if (row->norm->channels == 0) {
    put_text(file, scale->left + 6, text, "fill=\"" FAINT "\" font-style=\"italic\"", row->norm->reason, 120);
  } else {
    draw_spread(file, scale, &row->scale, y, risky ? RISK : CALM);
    draw_spread(file, shift, &row->shift, y, risky ? RISK : CALM);
  }
  put_notes(file, row, shift->left + PANEL + 12, text);
  fputs("</g>\n", file);
}

static void draw_head(FILE *file, const char *title, size_t layers, size_t risky) {
  fputs("<text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\" fill=\"" INK "\">BatchNormalization layers of ",
        file);
  put_escaped(file, title, 80);
  fputs("</text>\n", file);
  fprintf(file,
          "<text x=\"16\" y=\"47\" fill=\"" FAINT "\">y = s x + t a channel; s = scale / sqrt(variance + epsilon), t = "
          "bias - s mean. Line: min to max; box: quartiles; tick: median. %zu layer%s, <tspan fill=\"%s\" "
          "font-weight=\"bold\">%zu risky</tspan></text>\n",
          layers, layers == 1 ? "" : "s", risky > 0 ? RISK : FAINT, risky);
  fputs("<text x=\"16\" y=\"64\" fill=\"" FAINT
        "\">Risky: max |s| over 100 times its median, |s| over 1000, or a variance "
        "below epsilon. What lies beyond an axis is drawn at its end.</text>\n",
        file);
}

static void draw(FILE *file, const char *title, const row *rows, size_t count) {
  const panel scale = scale_panel(rows, count), shift = shift_panel(rows, count);
  const double end = TOP + (double)(count * ROW);
  size_t risky = 0;
  for (size_t i = 0; i < count; i++) risky += rows[i].note[0] != '\0';
  fprintf(file,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" "
          "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"11\">\n",
          WIDTH, end + BOTTOM, WIDTH, end + BOTTOM);
  fputs("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n", file);
  draw_head(file, title, count, risky);
  for (size_t i = 0; i < count; i++) /* bands lie below the grid */
    if (rows[i].note[0] != '\0' || i % 2 == 1)
      fprintf(file, "<rect x=\"8\" y=\"%.1f\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", TOP + (double)(i * ROW),
              WIDTH - 16, ROW, rows[i].note[0] != '\0' ? "#fbe3e4" : "#f5f5f5");
  draw_axes(file, &scale, &shift, end);
  for (size_t i = 0; i < count; i++) draw_row(file, &rows[i], i, &scale, &shift);
  fputs("</svg>\n", file);
}

pleat_status bn_report_write(const char *path, const char *title, const pleat_norm_list *norms,
                             const pleat_fold_report *report, pleat_error *error) {
  char *data = NULL;
  size_t size = 0;
  FILE *file = open_memstream(&data, &size);
  if (!file) return cli_error(error, PLEAT_OUT_OF_MEMORY, path, "no memory for the picture: %s", strerror(errno));
  row *rows = cli_calloc(norms->count, sizeof *rows);
  for (size_t i = 0; i < norms->count; i++) rows[i] = measure(&norms->norms[i], report);
  draw(file, title, rows, norms->count);
  free(rows);
  const bool lost = ferror(file) != 0;
  pleat_status status = PLEAT_OK;
  if (fclose(file) != 0 || lost) status = cli_error(error, PLEAT_OUT_OF_MEMORY, path, "no memory for the picture");
  else status = files_write(path, data, size, error);
  free(data);
  return status;
}
