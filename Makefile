# firstalloc - reading this file is reading the architecture: one library a folder, in the order in
# which they may use each other (tools/layers.txt, checked by `make check`).
B       ?= build
PREFIX  ?= /usr
VERSION := 0.1.0

CSTD    := -std=c17 -D_GNU_SOURCE -DFA_VERSION='"$(VERSION)"'
WARN    := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wold-style-definition -Wwrite-strings -Wpointer-arith -Wvla -Wformat=2 -Wundef -fno-common
-include config/build.mk
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
COMMON  := $(CSTD) $(WARN) -O2 -g -fcf-protection=full -Isrc -I. -Iinclude -MMD -MP $(CFLAGS)
HOST    := $(COMMON) -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE $(SAN_FLAGS)
# The C library: position independent, and without sanitizers, since it goes into other programs.
SOFLAGS := $(COMMON) -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIC
# No sanitizer, no stack protector, no builtins that call libc: it lives in other people's programs.
SHIM    := $(COMMON) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-builtin \
           -fno-stack-protector -fno-plt -fasynchronous-unwind-tables -fomit-frame-pointer \
           -U_FORTIFY_SOURCE $(if $(findstring clang,$(shell $(CC) --version)),,-fno-tree-loop-distribute-patterns)

# Folders under src/ that become libraries; each may use those before it.
folders  := base format registry trace collector client symbols analysis report api
libs     := $(foreach f,$(folders),$(B)/lib$(f).a)
# Link order: users before what they use.
link     := $(foreach f,api report analysis symbols client collector trace registry format base,$(B)/lib$(f).a)
LDLIBS   := -lsqlite3 -linih -ldw -lelf -llz4 -lzstd -liberty -lpthread

src       = $(wildcard src/$(1)/*.c)
obj       = $(patsubst %.c,$(B)/%.o,$(1))
cli_obj  := $(call obj,$(call src,cli))
daemon_obj := $(call obj,$(call src,daemon))
shim_src := $(wildcard shim/*.c) src/format/index_format.c src/format/package_format.c
shim_obj := $(patsubst %.c,$(B)/pic/%.o,$(shim_src)) $(patsubst %.S,$(B)/pic/%.o,$(wildcard shim/*.S))
unit_src := $(wildcard tests/unit/test_*.c)
unit_bin := $(patsubst %.c,$(B)/%,$(unit_src))
fuzz_src := $(wildcard tests/fuzz/fuzz_*.c)
fuzz_bin := $(patsubst %.c,$(B)/%,$(fuzz_src))
prog_bin := $(patsubst %.c,$(B)/%,$(wildcard tests/programs/*.c)) \
            $(patsubst %.cc,$(B)/%,$(wildcard tests/programs/*.cc))

all: $(B)/firstalloc $(B)/firstallocd $(B)/libfirstalloc_preload.so $(B)/libfirstalloc.so ## build the programs and the shim

$(foreach f,$(folders),$(eval $(B)/lib$(f).a: $(call obj,$(call src,$(f)))))
$(libs):
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/firstalloc: $(cli_obj) $(link)
	$(CC) $(HOST) -pie -o $@ $^ $(LDLIBS)
$(B)/firstallocd: $(daemon_obj) $(link)
	$(CC) $(HOST) -pie -o $@ $^ $(LDLIBS)
# Needs nothing and nobody: no DT_NEEDED, so it cannot bring a library into a process. Two mappings, not
# four (noseparate-code), and not one of them split again (norelro: what decides where a heap call goes,
# fa_real, is writable in any case): each costs every start of every program some microseconds.
$(B)/libfirstalloc_preload.so: $(shim_obj) shim/exports.map
	$(CC) -shared -nostdlib -o $@ $(shim_obj) -Wl,--version-script=shim/exports.map \
		-Wl,-z,now -Wl,-z,initfirst -Wl,-z,norelro -Wl,-Bsymbolic -Wl,-init,fa_init -Wl,-z,noexecstack -Wl,--hash-style=gnu \
		-Wl,-soname,libfirstalloc_preload.so -Wl,-z,nodelete -Wl,-z,ibt,-z,shstk -Wl,-z,noseparate-code
# include/firstalloc.h. What is used of the folders, and of their names only those of the map.
api_obj  := $(patsubst %.c,$(B)/so/%.o,$(call src,api))
api_used := $(patsubst %.c,$(B)/so/%.o,$(foreach f,base format trace collector client analysis symbols report,$(call src,$(f))))
$(B)/so/used.a: $(api_used)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/libfirstalloc.so.0: $(api_obj) $(B)/so/used.a src/api/exports.map
	$(CC) -shared -o $@ $(api_obj) $(B)/so/used.a -Wl,--version-script=src/api/exports.map \
		-Wl,-soname,libfirstalloc.so.0 -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,--as-needed \
		-ldw -lelf -llz4 -lzstd -liberty
$(B)/libfirstalloc.so: $(B)/libfirstalloc.so.0
	ln -sf libfirstalloc.so.0 $@
$(B)/so/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SOFLAGS) -c -o $@ $<
$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOST) -c -o $@ $<
$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SHIM) -c -o $@ $<
$(B)/pic/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(SHIM) -c -o $@ $<

# A unit test or fuzz target names the folders that it may use in its first lines: "libs: trace format
# base", and objects of its own: "objs: shim/cfi.c".
named    = $(shell sed -n 's|.*$(2): \([^*]*\).*|\1|p' $(1) | head -1)
.SECONDEXPANSION:
$(B)/tests/unit/%: tests/unit/%.c tests/unit/test.h $$(foreach l,$$(call named,tests/unit/$$*.c,libs),$(B)/lib$$l.a) $$(call obj,$$(call named,tests/unit/$$*.c,objs))
	@mkdir -p $(@D)
	$(CC) $(HOST) -pie -o $@ $(filter %.c %.o,$^) $(filter %.a,$^) $(LDLIBS) $(call named,$<,ldlibs)
# What calls a fuzz target: a replay of files, or (tools/fuzz.sh) libFuzzer, or our own driver.
fuzz_main ?= tests/fuzz/replay_main.c
$(B)/tests/fuzz/%: tests/fuzz/%.c $(fuzz_main) $$(foreach l,$$(call named,tests/fuzz/$$*.c,libs),$(B)/lib$$l.a) $$(call obj,$$(call named,tests/fuzz/$$*.c,objs))
	@mkdir -p $(@D)
	$(CC) $(HOST) -pie -o $@ $(filter %.c %.o,$^) $(filter %.a,$^) $(LDLIBS) $(FUZZER)
# Test programs are ordinary programs: own flags may stand in their first lines: "cflags: -O0".
$(B)/tests/programs/%: tests/programs/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O0 -g -w -fno-builtin -o $@ $< $(call named,$<,cflags) $(if $(findstring -nostdlib,$(call named,$<,cflags)),,-lpthread -ldl)

$(B)/tests/programs/%: tests/programs/%.cc
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 -O0 -g -w -fno-builtin -o $@ $< -lpthread

# The programs with a test facility that the others do not have: writes that fail (src/base/io.c).
fault_bin := $(B)/tests/faults/firstalloc $(B)/tests/faults/firstallocd
$(B)/tests/faults/io.o: src/base/io.c
	@mkdir -p $(@D)
	$(CC) $(HOST) -DFA_FAULTS -c -o $@ $<
$(B)/tests/faults/firstalloc: $(cli_obj) $(B)/tests/faults/io.o $(link)
	$(CC) $(HOST) -pie -o $@ $^ $(LDLIBS)
$(B)/tests/faults/firstallocd: $(daemon_obj) $(B)/tests/faults/io.o $(link)
	$(CC) $(HOST) -pie -o $@ $^ $(LDLIBS)

everything: all $(unit_bin) $(fuzz_bin) $(prog_bin) $(fault_bin)

test: ## install what is missing, build, run all tests
	tools/deps.sh test
	+$(MAKE) -j$(shell nproc) everything check
	B=$(B) tests/run.sh
test-long: ## the tests that take longer, too (45 minutes at most)
	tools/deps.sh long
	+$(MAKE) -j$(shell nproc) everything check
	B=$(B) tests/run.sh --long
fuzz: ## run each fuzz target for SECONDS (60) under sanitizers
	+SECONDS_EACH=$(or $(SECONDS),60) tools/fuzz.sh $(B)
check: all ## layers, the shim's symbols
	tools/check-layers.sh
	tools/check-shim.sh $(B)/libfirstalloc_preload.so
demo: ## install what is missing, build, and show the main job on real programs
	tools/deps.sh demo
	+$(MAKE) -j$(shell nproc) all $(B)/tests/programs/leak_server
	B=$(B) tools/demo.sh
bench: everything ## measure, beside the peers that are installed, and say which bars are met (QUICK=1: smaller loads)
	B=$(B) tests/bench/run.sh $(if $(QUICK),--quick)
deb: all ## build a Debian package, build/firstalloc_VERSION_ARCH.deb
	tools/deb.sh $(B) $(VERSION)
format: ## rewrite the tree with clang-format
	clang-format -i $(shell git ls-files '*.c' '*.h' | grep -v tests/programs)
include install.mk
clean: ## remove build/
	rm -rf $(B)
help: ## this list
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/  \1\t\2/p' Makefile install.mk | expand -t 26
-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all everything test test-long fuzz check demo bench deb format install uninstall clean help
.DELETE_ON_ERROR:
