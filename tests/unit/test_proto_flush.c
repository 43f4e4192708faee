/* When saving waits for the disk: where a file is replaced, all of the new content is flushed before any name changes;
 * where nothing had the name, never. Seen by standing in for fsync and rename. And in what blocks files are written. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "proto_testing.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>

#include "proto/file.h"

enum { BLOCK = 1 << 16 }; /* what the blocks of files are multiples of, at least */

/* What happened: F a file was flushed, D a folder, R something was renamed. */
static char events[32];
static off_t flushed_bytes; /* in files, at the time */
static int flush_error;     /* 0: fsync works */

static void add_event(char event) {
  const size_t used = strlen(events);
  ck_assert_uint_lt(used, sizeof events - 1);
  events[used] = event;
}

int fsync(int fd) {
  struct stat info;
  ck_assert_int_eq(fstat(fd, &info), 0);
  add_event(S_ISDIR(info.st_mode) ? 'D' : 'F');
  if (!S_ISDIR(info.st_mode)) flushed_bytes += info.st_size;
  errno = flush_error;
  return flush_error == 0 ? 0 : -1;
}

int rename(const char *from, const char *to) {
  int (*real)(const char *, const char *);
  void *symbol = dlsym(RTLD_NEXT, "rename");
  memcpy(&real, &symbol, sizeof real);
  add_event('R');
  return real(from, to);
}

static void check_events(const char *expected) {
  ck_assert_str_eq(events, expected);
  memset(events, 0, sizeof events);
}

static char folder[32], path[64], data_path[64], weights_path[64], out_path[64];

/* A folder with a model, "model.onnx", whose tensor is in "weights"; nothing has the names of "out" yet. */
static void setup(void) {
  make_folder(folder, sizeof folder);
  path_in(folder, "model.onnx", path, sizeof path);
  path_in(folder, "weights", weights_path, sizeof weights_path);
  path_in(folder, "out", out_path, sizeof out_path);
  path_in(folder, "out.data", data_path, sizeof data_path);
  wire graph = {0}, tensor = wire_external("a", 5, "weights", NULL, NULL);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  ck_assert_int_eq(pleat_write_file(path, w.data, w.size, NULL), PLEAT_OK);
  free(w.data);
  ck_assert_int_eq(pleat_write_file(weights_path, "01234567890123456789", 20, NULL), PLEAT_OK);
  check_events("RR");
  flushed_bytes = 0;
}

static void teardown(void) {
  unlink(path);
  unlink(weights_path);
  unlink(out_path);
  unlink(data_path);
  ck_assert_int_eq(rmdir(folder), 0); /* nothing temporary is left */
}

static off_t size_of(const char *name) {
  struct stat info;
  ck_assert_int_eq(stat(name, &info), 0);
  return info.st_size;
}

START_TEST(nothing_to_lose) {
  ck_assert_int_eq(pleat_write_file(out_path, "new", 3, NULL), PLEAT_OK);
  check_events("R");
  ck_assert_int_eq(size_of(out_path), 3);
}
END_TEST

START_TEST(a_file_is_replaced) {
  ck_assert_int_eq(pleat_write_file(out_path, "old", 3, NULL), PLEAT_OK);
  check_events("R");
  ck_assert_int_eq(pleat_write_file(out_path, "newer", 5, NULL), PLEAT_OK);
  check_events("FRD");
  ck_assert_int_eq(flushed_bytes, 5);
  ck_assert_int_eq(size_of(out_path), 5);
}
END_TEST

/* A link to nothing has no content; of one that leads in a circle that cannot be said. */
START_TEST(links) {
  ck_assert_int_eq(symlink("nowhere", out_path), 0);
  ck_assert_int_eq(symlink("out.data", data_path), 0);
  ck_assert_int_eq(pleat_write_file(out_path, "new", 3, NULL), PLEAT_OK);
  check_events("R");
  ck_assert_int_eq(pleat_write_file(data_path, "new", 3, NULL), PLEAT_OK);
  check_events("FRD");
}
END_TEST

START_TEST(flushing_fails) {
  char text[4] = {0};
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_write_file(out_path, "old", 3, NULL), PLEAT_OK);
  flush_error = EIO;
  ck_assert_int_eq(pleat_write_file(out_path, "newer", 5, &error), PLEAT_IO_ERROR);
  check_events("RF");
  ASSERT_CONTAINS(error.message, strerror(EIO));
  FILE *file = fopen(out_path, "rb");
  ck_assert_uint_eq(fread(text, 1, sizeof text, file), 3);
  fclose(file);
  ck_assert_str_eq(text, "old");
  flush_error = EINVAL; /* a file system that cannot */
  ck_assert_int_eq(pleat_write_file(out_path, "newer", 5, NULL), PLEAT_OK);
  ck_assert_int_eq(size_of(out_path), 5);
  flush_error = 0;
}
END_TEST

/* ---- models ---- */

static pleat_status bytes_of(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out, pleat_error *error) {
  return pleat_proto_tensor_bytes(user, tensor, &out->data, &out->size, error);
}

static void save(const char *to, pleat_external external) {
  pleat_proto *proto;
  ck_assert_int_eq(pleat_proto_load(path, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_proto_save(pleat_proto_model(proto), to, external, bytes_of, proto, NULL), PLEAT_OK);
  pleat_proto_destroy(proto);
}

START_TEST(a_model_over_itself) {
  save(path, PLEAT_EXTERNAL_INLINE);
  check_events("FRD");
  ck_assert_int_eq(flushed_bytes, size_of(path));
}
END_TEST

/* The model's file and that of its data: where either is replaced, neither gets its name before both are on the disk.
 */
static const struct {
  bool has_model, has_data;
  const char *expected;
} pairs[] = {{false, false, "RR"}, {true, false, "FFRDRD"}, {false, true, "FFRDRD"}, {true, true, "FFRDRD"}};

START_TEST(a_model_and_its_data) {
  if (pairs[_i].has_model) ck_assert_int_eq(pleat_write_file(out_path, "old", 3, NULL), PLEAT_OK);
  if (pairs[_i].has_data) ck_assert_int_eq(pleat_write_file(data_path, "old", 3, NULL), PLEAT_OK);
  memset(events, 0, sizeof events);
  save(out_path, PLEAT_EXTERNAL_KEEP);
  const bool flushed = pairs[_i].has_model || pairs[_i].has_data;
  ck_assert_int_eq(flushed_bytes, flushed ? size_of(out_path) + size_of(data_path) : 0);
  ck_assert_int_eq(size_of(data_path), 20);
  check_events(pairs[_i].expected);
}
END_TEST

/* ---- blocks ---- */

/* Writes of many sizes, copied and made in place: what the system was given so far always ends between blocks. */
START_TEST(blocks_are_aligned) {
  enum { TOTAL = 2000000 };
  pleat_output out;
  pleat_error error = PLEAT_ERROR_INIT;
  uint8_t *bytes = malloc(TOTAL), *found = malloc(TOTAL + 1);
  for (size_t i = 0; i < TOTAL; i++) bytes[i] = (uint8_t)(i * 31 >> 3);
  ck_assert_int_eq(pleat_output_open(out_path, &out, &error), PLEAT_OK);
  size_t flushes = 0;
  for (size_t at = 0, some = 1, room; at < TOTAL; at += some, some = some * 7 % 700001) {
    const size_t before = out.written;
    if (some > TOTAL - at) some = TOTAL - at;
    uint8_t *place = pleat_output_room(&out, &room);
    ck_assert_uint_gt(room, 0);
    if (at % 3 == 0) {
      some = some < room ? some : room;
      memcpy(place, bytes + at, some);
      pleat_output_take(&out, some);
    } else {
      pleat_output_write(&out, bytes + at, some);
    }
    ck_assert_uint_eq(out.written % BLOCK, 0);
    ck_assert_uint_eq(out.position, at + some);
    flushes += out.written > before;
  }
  ck_assert_uint_gt(flushes, 3);
  ck_assert_int_eq(pleat_output_finish(&out, &error), PLEAT_OK);
  ck_assert_uint_eq(out.written, TOTAL);
  ck_assert_int_eq(pleat_output_publish(&out, &error), PLEAT_OK);
  pleat_output_close(&out);
  FILE *file = fopen(out_path, "rb");
  ck_assert_uint_eq(fread(found, 1, TOTAL + 1, file), TOTAL);
  fclose(file);
  ck_assert_mem_eq(found, bytes, TOTAL);
  free(bytes);
  free(found);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("proto_flush");
  TCase *tcase = tcase_create("flush");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, nothing_to_lose);
  tcase_add_test(tcase, a_file_is_replaced);
  tcase_add_test(tcase, links);
  tcase_add_test(tcase, flushing_fails);
  tcase_add_test(tcase, a_model_over_itself);
  tcase_add_loop_test(tcase, a_model_and_its_data, 0, (int)(sizeof pairs / sizeof *pairs));
  tcase_add_test(tcase, blocks_are_aligned);
  suite_add_tcase(suite, tcase);
  return suite;
}
