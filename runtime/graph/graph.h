/* The graph IR: values and nodes, lossless and editable.
 *
 * Lossless: every object keeps a pointer (`src`) to the message it was imported from; export writes that message again
 * unless the object was edited. All memory comes from the graph's root arena and lives until the root is destroyed, so
 * removed nodes stay readable. A graph is private to one thread.
 *
 * Invariants (pleat_graph_verify checks them): `nodes` is a topological order; a value has at most one producer; uses
 * and inputs agree, also for uses of outer values by nodes of subgraphs; names are unique within a graph where not
 * empty. */
#ifndef PLEAT_GRAPH_GRAPH_H
#define PLEAT_GRAPH_GRAPH_H

#include "core/arena.h"
#include "core/recipe.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "pleat/model.h"

typedef struct pleat_graph pleat_graph;
typedef struct pleat_node pleat_node;
typedef struct pleat_value pleat_value;
struct pleat_op_def;
struct pleat_op_version;

/* Operators that only sessions make, of parts of the graph; never in a file. */
#define PLEAT_INTERNAL_DOMAIN "pleat"

typedef enum pleat_attr_type { /* AttributeProto.AttributeType */
                               PLEAT_ATTR_UNDEFINED = 0,
                               PLEAT_ATTR_FLOAT = 1,
                               PLEAT_ATTR_INT = 2,
                               PLEAT_ATTR_STRING = 3,
                               PLEAT_ATTR_TENSOR = 4,
                               PLEAT_ATTR_GRAPH = 5,
                               PLEAT_ATTR_FLOATS = 6,
                               PLEAT_ATTR_INTS = 7,
                               PLEAT_ATTR_STRINGS = 8,
                               PLEAT_ATTR_TENSORS = 9,
                               PLEAT_ATTR_GRAPHS = 10,
                               PLEAT_ATTR_SPARSE_TENSOR = 11,
                               PLEAT_ATTR_SPARSE_TENSORS = 12,
                               PLEAT_ATTR_TYPE_PROTO = 13,
                               PLEAT_ATTR_TYPE_PROTOS = 14
} pleat_attr_type;

typedef struct pleat_attr {
  const char *name;
  pleat_attr_type type;
  size_t count; /* of the list types; bytes of STRING */
  union {
    float f;
    int64_t i;
    const char *s; /* `count` bytes, and a terminator after them */
    const float *floats;
    const int64_t *ints;
    const pleat_string *strings;
    const pleat_tensor *tensor; /* TENSOR; SPARSE_TENSOR is made dense */
    pleat_graph *graph;
    pleat_graph **graphs;
  };
  const char *ref_name; /* inside a function body: the function's attribute that this one stands for; else NULL */
  const void *src;      /* Onnx__AttributeProto; NULL for one that was made here */
} pleat_attr;

struct pleat_node {
  uint32_t id;                                    /* index into root->all_nodes */
  const char *name, *op_type, *domain, *overload; /* "" when absent; domain "" is ai.onnx */
  pleat_graph *graph;                             /* NULL once removed */
  pleat_node *prev, *next;
  size_t place; /* among its graph's nodes as imported; a node made later shares its left neighbour's. For labels */
  size_t input_count, output_count;
  pleat_value **inputs;  /* NULL: an absent optional input */
  pleat_value **outputs; /* NULL: an absent optional output */
  size_t attr_count, attr_capacity;
  pleat_attr *attrs;
  const struct pleat_op_def *def;         /* NULL: nothing here runs it */
  const struct pleat_op_version *version; /* the definition's version for the model's opset */
  const void *src;                        /* Onnx__NodeProto */
  bool edited;                            /* differs from src */
};

typedef struct pleat_use {
  pleat_node *node;
  size_t index; /* node->inputs[index] */
} pleat_use;

struct pleat_value {
  uint32_t id;      /* index into root->all_values; dense over a root graph and its subgraphs */
  const char *name; /* never empty */
  pleat_graph *graph;
  pleat_kind kind;
  pleat_dtype dtype; /* PLEAT_UNDEFINED when unknown */
  pleat_shape shape;
  pleat_node *producer; /* NULL for inputs, initializers and removed values */
  size_t producer_index;
  size_t use_count, use_capacity;
  pleat_use *uses;
  bool is_input, is_output, is_initializer; /* of `graph`; both of the first: an overridable initializer (IR >= 4) */
  bool shape_declared;                      /* the file states type or shape (value_info, inputs, outputs) */
  const pleat_tensor *constant;             /* known data, when it was materialised: use pleat_value_constant() */
  pleat_recipe *recipe;                     /* how the data come about: use pleat_value_recipe() */
  const void *src_info;                     /* Onnx__ValueInfoProto */
  const void *src_init; /* Onnx__TensorProto or Onnx__SparseTensorProto; NULL: made here (or none) */
  bool src_init_sparse;
};

struct pleat_graph {
  const char *name;
  pleat_graph *root;   /* itself for a model's main graph */
  pleat_graph *parent; /* the graph around this subgraph; NULL for the root */
  pleat_node *owner;   /* the node whose attribute holds this subgraph; NULL for the root */
  pleat_node *first, *last;
  size_t node_count;
  size_t input_count, input_capacity, output_count, output_capacity, initializer_count, initializer_capacity;
  /* All graph inputs in file order, those with an initializer of the same name included. Below IR version 4 the latter
   * are plain constants: is_initializer, but not is_input. */
  pleat_value **inputs;
  pleat_value **outputs;
  pleat_value **initializers;
  struct pleat_name_entry *names; /* uthash: name -> value; see pleat_graph_find */
  const void *src;                /* Onnx__GraphProto */
  bool edited;                    /* something in it, or in a subgraph of it, differs from src */
  pleat_graph *next_graph;        /* the root's list of all graphs, itself first, removed ones included */

  /* ---- only meaningful in the root ---- */
  pleat_arena *arena;
  const pleat_model *model; /* where it came from (borrowed): the owner of everything `src` points to */
  int64_t ir_version;
  size_t opset_count;
  const char **opset_domains; /* "ai.onnx" is normalised to "" */
  int64_t *opset_versions;
  pleat_value **all_values;
  size_t value_count, value_capacity;
  pleat_node **all_nodes;
  size_t node_id_count, node_capacity;
  size_t owned_count, owned_capacity;
  pleat_tensor **owned;                     /* heap tensors released with the graph */
  bool *inlined;                            /* by local function: calls of it were replaced by its body; NULL: none */
  const char *metadata_key, *metadata_text; /* to be appended on export; NULL: nothing */
  struct pleat_symbol_entry *symbols;       /* uthash: interned dimension names */
  struct pleat_hint_entry *hints;           /* uthash: where the search for a free name goes on */
};

/* ---- reading ---- */

#define PLEAT_FOR_NODES(node, graph) for (pleat_node *node = (graph)->first; node != NULL; node = node->next)
/* The same, safe when `node` itself is removed inside the loop. */
#define PLEAT_FOR_NODES_SAFE(node, graph)                                                                              \
  for (pleat_node *node = (graph)->first, *next_##node; node != NULL && (next_##node = node->next, 1);                 \
       node = next_##node)

pleat_value *pleat_graph_find(const pleat_graph *graph, const char *name); /* this graph, then the ones around it */
int64_t pleat_graph_opset(const pleat_graph *graph, const char *domain);   /* 0 when not imported */
const char *pleat_graph_intern(pleat_graph *graph, const char *symbol);    /* NULL when out of memory */
/* "conv1", or "Conv#12" (op type and place in its graph as imported) for a node without a name. Returns `buffer`. */
const char *pleat_node_label(const pleat_node *node, char *buffer, size_t size);
bool pleat_node_is(const pleat_node *node, const char *op_type); /* op of the default domain */

/* The first opset version of the operator's definition in force ("Gemm-7"); 0 when there is none. */
int pleat_node_since(const pleat_node *node);

/* The value's data if it is surely constant: an initializer that no caller can override, or what a constant subgraph
 * that was evaluated gave; NULL otherwise (also for PLEAT_OK). Materialised on first use: typed fields, external data,
 * 4-bit packing and misaligned bytes all become a dense aligned tensor that lives as long as the graph. Constant nodes
 * are initializers to this function. Errors: MALFORMED_MODEL, IO_ERROR, OUT_OF_MEMORY. */
pleat_status pleat_value_constant(pleat_value *value, const pleat_tensor **out_tensor, pleat_error *error);
/* Whether pleat_value_constant() would give data, without reading it. */
bool pleat_value_is_constant(const pleat_value *value);
/* Gives back the memory of an initializer's data that nothing needs any more; they would be read again from the model,
 * or computed again of their recipe. No pointer to the data may be in use. */
void pleat_value_forget(pleat_value *value);
/* How the value's initial data come about, without reading or computing them where that can wait: what lies in the
 * model's memory as an array, at any alignment, stays there. NULL for PLEAT_OK: no stored data, or none of numbers. The
 * recipe belongs to the graph. Errors: as pleat_value_constant(). */
pleat_status pleat_value_recipe(pleat_value *value, pleat_recipe **out_recipe, pleat_error *error);
/* Default value of an overridable initializer as well; NULL when the value has no stored data. */
pleat_status pleat_value_initial(pleat_value *value, const pleat_tensor **out_tensor, pleat_error *error);

/* ---- attributes ---- (the definition's default when the node has none; see ops/ops.h)
 * Wrong types were rejected on import, against the definition. */
const pleat_attr *pleat_node_attr(const pleat_node *node, const char *name); /* NULL when the node itself has none */
int64_t pleat_attr_int(const pleat_node *node, const char *name);
float pleat_attr_float(const pleat_node *node, const char *name);
const char *pleat_attr_string(const pleat_node *node, const char *name); /* "" when absent without default */
size_t pleat_attr_ints(const pleat_node *node, const char *name, const int64_t **out_values); /* count; 0 when absent */
/* Whether no number of the list is another than `value`; so, too, when it is absent (pads 0, strides and dilations 1).
 */
bool pleat_attr_ints_all(const pleat_node *node, const char *name, int64_t value);
size_t pleat_attr_floats(const pleat_node *node, const char *name, const float **out_values);
bool pleat_attr_present(const pleat_node *node, const char *name);

/* ---- editing ---- (edit.c; each keeps producers, uses, names and the topological order right) */

/* A new node after `after` (NULL: at the graph's start) without inputs, outputs or attributes. NULL when out of memory.
 */
pleat_node *pleat_graph_add_node(pleat_graph *graph, pleat_node *after, const char *op_type, const char *domain,
                                 const char *name);
/* The same for an operator of the default domain as another opset than the graph's has it. A graph with such a node can
 * be run, but not exported. */
pleat_node *pleat_graph_add_node_as_of(pleat_graph *graph, pleat_node *after, const char *op_type, int64_t opset,
                                       const char *name);
bool pleat_node_set_input(pleat_node *node, size_t index, pleat_value *value); /* grows the list with absent inputs */
bool pleat_node_set_output(pleat_node *node, size_t index, pleat_value *value);
void pleat_node_truncate_inputs(pleat_node *node, size_t count); /* drops inputs from `count` on */
/* Sets or replaces; `attr.src` must be NULL and its memory the graph's (or static). */
bool pleat_node_set_attr(pleat_node *node, pleat_attr attr);
void pleat_node_remove_attr(pleat_node *node, const char *name);
/* A new value with a unique name: `hint`, or `hint_1`, `hint_2`... */
pleat_value *pleat_graph_add_value(pleat_graph *graph, const char *hint, pleat_dtype dtype, const pleat_shape *shape);
/* A new initializer of this graph that takes over the caller's reference to `tensor` (also when it fails). */
pleat_status pleat_graph_add_constant(pleat_graph *graph, const char *hint, pleat_tensor *tensor,
                                      pleat_value **out_value, pleat_error *error);
/* A new initializer that is computed when somebody needs its numbers, and written into a file without ever being whole
 * in memory. The recipe's factors must be in the graph's arena. */
pleat_status pleat_graph_add_recipe(pleat_graph *graph, const char *hint, const pleat_recipe *recipe,
                                    pleat_value **out_value, pleat_error *error);
/* Every use of `from` reads `to` instead. When `from` is a graph output, `to` takes over its name and its place,
 * provided that `to` is produced by a node of the same graph and is not itself an input or output; otherwise false and
 * nothing changed (see pleat_value_can_replace). */
bool pleat_value_replace(pleat_value *from, pleat_value *to);
bool pleat_value_can_replace(const pleat_value *from, const pleat_value *to);
/* Takes a node out of its graph. Its outputs must have no uses and not be graph outputs (asserted). */
void pleat_node_remove(pleat_node *node);
/* Removes nodes whose outputs nothing uses, and initializers nothing uses, subgraphs included. Nodes with side effects
 * do not exist in ONNX. Returns how many nodes went. */
size_t pleat_graph_remove_dead(pleat_graph *graph);
/* Takes input `index` off the list of inputs: an overridable initializer becomes a plain one. */
void pleat_graph_remove_input(pleat_graph *graph, size_t index);
/* Adds text to the model's metadata under `key` when the graph is exported, behind what is there already. */
bool pleat_graph_append_metadata(pleat_graph *graph, const char *key, const char *text);
/* Makes a value a graph output as well (a tap). */
bool pleat_graph_add_output(pleat_graph *graph, pleat_value *value);

/* ---- whole graphs ---- */

typedef struct pleat_import_options {
  bool inline_functions; /* replace calls of the model's local functions by their bodies */
  bool inline_norms;     /* the same, for those only that come to a BatchNormalization */
} pleat_import_options;

/* import.c: builds the IR of a model's main graph, checks it (names, order, attribute types against ops.def, limits).
 */
pleat_status pleat_graph_import(const pleat_model *model, const pleat_import_options *options, pleat_graph **out_graph,
                                pleat_error *error);
void pleat_graph_destroy(pleat_graph *root); /* NULL is accepted */
/* What was read of the model's mapped files may leave memory: it comes back when it is read again. */
void pleat_graph_give_back(const pleat_graph *graph);
/* The packed constants of the model that the graph came from (ops/packs.h), shared by all its graphs. */
struct pleat_packs *pleat_graph_packs(const pleat_graph *graph);

/* export.c: a new model that shares what was not edited with the graph's source model (which it retains). The graph may
 * be destroyed afterwards. */
pleat_status pleat_graph_export(pleat_graph *graph, pleat_model **out_model, pleat_error *error);

/* verify.c: the invariants above; INTERNAL with the place when one is broken. */
pleat_status pleat_graph_verify(const pleat_graph *graph, pleat_error *error);

/* infer.c: type and shape inference over the graph and its subgraphs; constants and the values of small integer tensors
 * (shapes) are followed. Declared shapes are merged. Unsupported nodes leave their outputs unknown. */
pleat_status pleat_graph_infer(pleat_graph *graph, pleat_error *error);

/* promote.c: turns the graph into its float64 oracle: every float, float16 and bfloat16 value (constants and values of
 * lists included, in all subgraphs) becomes double. Where an operator only knows float, casts go around it. Wants a
 * graph that was inferred, and leaves it to be inferred again. For running only: such a graph is not exported. */
pleat_status pleat_graph_promote(pleat_graph *graph, pleat_error *error);

/* The same for running it: float16 and bfloat16 become float, and constants are read as float where they are stored.
 * What the model asks for stays: the root's inputs and outputs, and what a Cast makes a half of another type. False in
 * *out_changed: there is nothing to widen, or a list of halves at the border, and the graph is what it was. */
pleat_status pleat_graph_widen_halves(pleat_graph *graph, bool *out_changed, pleat_error *error);

/* infer.c: multiply-adds of one node after inference: 0 when it does none worth counting, UINT64_MAX when it does but
 * its shapes are not all known. */
uint64_t pleat_node_macs(const pleat_node *node);

/* eval.c: runs one node whose inputs are all constant, with its last (reference) kernel, and hands out new heap tensors
 * (out_outputs has node->output_count places; absent outputs give NULL). UNSUPPORTED when nothing runs it or it is not
 * deterministic. */
pleat_status pleat_graph_evaluate(pleat_node *node, pleat_tensor **out_outputs, pleat_error *error);

/* pleat_value_constant, and beyond it: when every node above the value is deterministic and rests on constants only,
 * they are evaluated and the results kept with their values (which are constant from then on). NULL for PLEAT_OK: it
 * depends on an input, on an overridable initializer or on chance, or is larger than `limit` bytes. */
pleat_status pleat_value_compute(pleat_value *value, size_t limit, const pleat_tensor **out_tensor, pleat_error *error);

/* Every operator of the graph and its subgraphs that nothing here runs, once each, as text: "Op (opset N): nodes a, b".
 * Returns the count; strings live in the graph. */
size_t pleat_graph_unsupported(pleat_graph *graph, const char *const **out_list);

#endif
