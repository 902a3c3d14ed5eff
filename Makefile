# SPDX-License-Identifier: BSD-2-Clause
#
# make            build/taskmon-collector and build/taskmon-report, man pages, shell completion
# make check      unit tests (no root); ./tests/run runs everything
# make install    DESTDIR= prefix=/usr/local
# make asan       both programs with ASan and UBSan, in build/asan/
# make fuzz       the fuzzers, in build/fuzz/
# make bench      the benchmarks (root, 13 minutes), pages in build/bench/
# V=1 shows the commands. B=DIR builds somewhere else.

VERSION := 0.1.0
B       ?= build
prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
mandir  ?= $(prefix)/share/man
datadir ?= $(prefix)/share/taskmon
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir  ?= $(prefix)/share/zsh/site-functions
unitdir     ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d

CC      ?= cc
CLANG   ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
PROTOC  ?= protoc-c
PKG     ?= pkg-config

ifeq ($(V),1)
Q :=
say :=
else
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)';
endif

WARN     := -Wall -Wextra -Werror -Wno-missing-field-initializers
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) -D_GNU_SOURCE -DTASKMON_VERSION='"$(VERSION)"' -DTASKMON_DATADIR='"$(datadir)"' -Icommon -I$(B)/gen $(CFLAGS) $(SANITIZE) -MMD -MP
pkg_cflags = $(shell $(PKG) --cflags $(1))
pkg_libs   = $(shell $(PKG) --libs $(1))

COMMON_PKGS    := libprotobuf-c
COLLECTOR_PKGS := $(COMMON_PKGS) libbpf libelf libuv libcjson popt capstone libcap libseccomp
REPORTER_PKGS  := $(COMMON_PKGS) libelf libuv libcjson popt

COMMON_OBJS    := $(patsubst %.c,$(B)/%.o,$(wildcard common/*.c)) $(B)/gen/taskmon.pb-c.o
COLLECTOR_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard collector/*.c))
REPORTER_OBJS  := $(patsubst %.c,$(B)/%.o,$(wildcard reporter/*.c))
BPF_OBJS       := $(patsubst %.bpf.c,$(B)/%.bpf.o,$(wildcard bpf/*.bpf.c))
WORKLOADS      := $(patsubst tests/workloads/%.c,$(B)/workloads/%,$(wildcard tests/workloads/*.c))
WORKLOADS      += $(B)/workloads/blocks-static $(and $(shell command -v musl-gcc),$(B)/workloads/blocks-musl)
WORKLOADS      += $(and $(wildcard /usr/include/jemalloc/jemalloc.h),$(B)/workloads/blocks-jemalloc)
FUZZERS        := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT_TESTS     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
SKELETON       := $(B)/gen/taskmon.skel.h

PROGRAMS       := taskmon-collector taskmon-report
MAN_PAGES      := $(patsubst deploy/man/%,$(B)/man/%,$(wildcard deploy/man/*.[158]))
COMPLETIONS    := $(PROGRAMS:%=$(B)/completions/%) $(PROGRAMS:%=$(B)/completions/_%)
UNITS          := $(patsubst deploy/%.in,$(B)/%,$(wildcard deploy/systemd/*.service.in))

all: $(PROGRAMS:%=$(B)/%) $(MAN_PAGES) $(COMPLETIONS) $(UNITS)

$(B)/taskmon-collector: $(COLLECTOR_OBJS) $(COMMON_OBJS)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(call pkg_libs,$(COLLECTOR_PKGS))

$(B)/taskmon-report: $(REPORTER_OBJS) $(COMMON_OBJS)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(call pkg_libs,$(REPORTER_PKGS)) -liberty -lm

# Where things will be is in programs and units: what has that in it is made again when `make install` has another prefix than `make`.
$(B)/gen/places: FORCE
	@mkdir -p $(@D)
	@echo '$(datadir) $(bindir) $(sbindir)' | cmp -s - $@ || echo '$(datadir) $(bindir) $(sbindir)' > $@
$(B)/collector/main.o $(UNITS): $(B)/gen/places
FORCE:

# The generated protobuf header before anything that includes it.
$(COLLECTOR_OBJS) $(REPORTER_OBJS) $(COMMON_OBJS): | $(B)/gen/taskmon.pb-c.h
$(COLLECTOR_OBJS): | $(SKELETON)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(call pkg_cflags,$(COLLECTOR_PKGS)) -c -o $@ $<

$(B)/gen/taskmon.pb-c.o: $(B)/gen/taskmon.pb-c.c
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/gen/taskmon.pb-c.c $(B)/gen/taskmon.pb-c.h &: proto/taskmon.proto
	@mkdir -p $(B)/gen
	$(call say,PROTOC,$<)$(PROTOC) --proto_path=proto --c_out=$(B)/gen $<

# --- BPF: one object per concern, linked into one, one skeleton
BPF_CFLAGS := -target bpf -D__TARGET_ARCH_$(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/') -mcpu=v3 -O2 -g \
	      $(WARN) -Wno-unused-parameter -Ibpf -Icommon -idirafter /usr/include/$(shell uname -m)-linux-gnu

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) common/record.h common/metrics.def
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(B)/bpf/taskmon.o: $(BPF_OBJS)
	$(call say,BPFLINK,$@)$(BPFTOOL) gen object $@ $^

$(SKELETON): $(B)/bpf/taskmon.o
	@mkdir -p $(@D)
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name taskmon_bpf > $@.tmp && mv $@.tmp $@

# --- man pages and completion: what lists metrics or options is made of the table and of --help
$(B)/man/%: deploy/man/% deploy/man/metrics.awk common/metrics.def Makefile
	@mkdir -p $(@D)
	$(call say,MAN,$<)awk -f deploy/man/metrics.awk common/metrics.def > $@.metrics && \
		sed -e '/@METRICS@/r $@.metrics' -e '/@METRICS@/d' -e 's/@VERSION@/$(VERSION)/' $< > $@ && rm $@.metrics

complete = @mkdir -p $(@D); deploy/completions/generate $(1) $< common/metrics.def > $@
$(B)/completions/_%: $(B)/% deploy/completions/generate common/metrics.def
	$(call complete,zsh)
$(B)/completions/%: $(B)/% deploy/completions/generate common/metrics.def
	$(call complete,bash)

# --- systemd: where the programs will be
$(B)/systemd/%: deploy/systemd/%.in Makefile
	@mkdir -p $(@D)
	$(call say,UNIT,$@)sed -e 's|@bindir@|$(bindir)|' -e 's|@sbindir@|$(sbindir)|' $< > $@

# --- tests
$(B)/workloads/%: tests/workloads/%.c $(wildcard tests/workloads/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -O2 -g -o $@ $< -pthread $(WORKLOAD_FLAGS)
$(B)/workloads/nothing: WORKLOAD_FLAGS := -static -nostdlib -fno-stack-protector

# Of kinds that differ in how they are built.
MORE_WORKLOADS := $(addprefix $(B)/workloads/,leaky-fixed leaky-library leaky-cxx)
$(B)/workloads/leaky-fixed: tests/workloads/leaky.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -O2 -g -no-pie -o $@ $< -pthread
$(B)/workloads/leaky-library: tests/workloads/more/library.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(WARN) -O2 -g -fPIC -shared -Wl,-soname,libleaky.so.1 -o $@ $<
$(B)/workloads/leaky-cxx: tests/workloads/more/leaky.cc
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(WARN) -O2 -g -o $@ $<
# One program, three other allocators.
$(B)/workloads/blocks-%: tests/workloads/blocks.c $(wildcard tests/workloads/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(if $(findstring musl,$@),musl-gcc -static,$(CC) $(if $(findstring static,$@),-static)) -std=gnu11 $(WARN) \
		-D_GNU_SOURCE -O2 -g -o $@ $< -pthread $(if $(findstring jemalloc,$@),-DNO_PVALLOC -ljemalloc)

# A unit test is linked with the program it is about: test_collector_* with the collector, all others with the reporter.
unit_objs = $(filter-out %/main.o,$(if $(findstring test_collector_,$(1)),$(COLLECTOR_OBJS),$(REPORTER_OBJS))) $(COMMON_OBJS)
$(UNIT_TESTS): $(B)/unit/%: tests/unit/%.c $(REPORTER_OBJS) $(COLLECTOR_OBJS) $(COMMON_OBJS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -I$(if $(findstring test_collector_,$@),collector,reporter) \
		-o $@ $< $(call unit_objs,$@) $(call pkg_libs,$(COLLECTOR_PKGS) cmocka) -liberty -lm

workloads: $(WORKLOADS) $(MORE_WORKLOADS)
unit-tests: $(UNIT_TESTS)
check: unit-tests
	@for t in $(UNIT_TESTS); do $$t || exit 1; done

asan:
	$(Q)$(MAKE) B=$(B)/asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' all unit-tests workloads

# libFuzzer needs everything compiled by clang with its instrumentation, so the programs' own files are compiled once more, for all fuzzers.
FUZZ_CC = $(CLANG) $(ALL_CFLAGS) $(call pkg_cflags,$(COLLECTOR_PKGS)) -fno-sanitize-recover=undefined
$(B)/fuzz/obj/%.o: %.c | $(B)/gen/taskmon.pb-c.h $(SKELETON)
	@mkdir -p $(@D)
	$(call say,FUZZCC,$<)$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
fuzz_objs = $(patsubst %.c,$(B)/fuzz/obj/%.o,$(1))
$(B)/fuzz/fuzz_frames: $(call fuzz_objs,common/frame.c common/wire.c common/calls.c common/arena.c common/metric.c common/str.c reporter/why.c \
	$(B)/gen/taskmon.pb-c.c)
$(B)/fuzz/fuzz_collector_config: $(call fuzz_objs,collector/config.c common/json_file.c common/str.c)
$(B)/fuzz/fuzz_report_config: $(call fuzz_objs,$(addprefix reporter/,config.c config_thresholds.c options.c option_check.c option_table.c option_values.c \
	modules.c select.c proc_figures.c proc_stat.c derive.c csv_tables.c output.c output_file.c threshold_rule.c \
	threshold_judge.c threshold_stats.c probe.c) common/declaration.c common/json_file.c common/str.c common/metric.c common/log.c)
$(B)/fuzz/fuzz_collector_rules: $(call fuzz_objs,$(addprefix collector/,rule.c rule_term.c rule_single.c rule_condition.c) \
	common/json_file.c common/metric.c common/str.c)
$(B)/fuzz/fuzz_report_probe_path: $(call fuzz_objs,reporter/probe_path.c common/elf_file.c common/elf_functions.c)
$(B)/fuzz/fuzz_report_probe_path: FUZZ_LINK := -Wl,--wrap=open,--wrap=fopen
$(B)/fuzz/fuzz_report_proc_stat: $(call fuzz_objs,reporter/proc_stat.c)
$(B)/fuzz/fuzz_report_top: $(call fuzz_objs,reporter/top_output.c)
# The whole of a program but what is above its loop and below its sockets.
FAKES := tests/fuzz/fake_uv.c tests/fuzz/fake_log.c
FUZZ_COMMON := $(call fuzz_objs,$(filter-out common/log.c,$(wildcard common/*.c)) $(B)/gen/taskmon.pb-c.c)
REPORTER_BUT_MAIN := $(FAKES) $(call fuzz_objs,$(filter-out reporter/main.c,$(wildcard reporter/*.c))) $(FUZZ_COMMON)
$(B)/fuzz/fuzz_report_frames: $(REPORTER_BUT_MAIN)
$(B)/fuzz/fuzz_report_options: $(REPORTER_BUT_MAIN)
# The collector, too, but for what needs a kernel: public functions of these files do nothing, unless fake_kernel.c has them.
FUZZ_LEFT_OUT := $(wildcard $(addprefix collector/,aside.c doctor.c heap*.c hooks.c kernel*.c main.c notify.c options.c privilege.c probe.c \
	probe_hooks.c smaps.c uprobe*.c))
$(B)/fuzz/stubs.c: $(FUZZ_LEFT_OUT:%.c=$(B)/%.o) Makefile
	@mkdir -p $(@D)
	$(Q)nm -g --defined-only $(filter %.o,$^) | awk '$$2 == "T" && $$3 != "main" { print "__attribute__((weak)) long " $$3 "(void) { return 0; }" }' \
		| sed '1i #pragma clang diagnostic ignored "-Wmissing-prototypes"' > $@
COLLECTOR_BUT_KERNEL := $(FAKES) tests/fuzz/fake_kernel.c tests/fuzz/fake_intake.c $(B)/fuzz/stubs.c $(FUZZ_COMMON) \
	$(call fuzz_objs,$(filter-out $(FUZZ_LEFT_OUT) collector/intake.c,$(wildcard collector/*.c)))
$(B)/fuzz/fuzz_collector_frames: $(COLLECTOR_BUT_KERNEL)
$(B)/fuzz/fuzz_collector_proc: $(COLLECTOR_BUT_KERNEL)
$(B)/fuzz/fuzz_collector_proc: FUZZ_LINK := -Wl,--wrap=open,--wrap=readdir
$(B)/fuzz/fuzz_collector_process_files: $(call fuzz_objs,collector/process_files.c collector/open_in_root.c common/elf_file.c common/elf_functions.c)
$(B)/fuzz/fuzz_collector_process_files: FUZZ_LINK := -Wl,--wrap=open,--wrap=fopen
$(B)/fuzz/fuzz_probe_site: $(call fuzz_objs,collector/probe_site.c)
$(B)/fuzz/fuzz_smaps: $(call fuzz_objs,collector/rollup.c collector/access.c)
$(B)/fuzz/fuzz_elf_file: $(call fuzz_objs,common/elf_file.c common/elf_functions.c)
$(B)/fuzz/fuzz_declaration: $(call fuzz_objs,common/declaration.c common/str.c)
$(B)/fuzz/%: tests/fuzz/%.c | $(B)/gen/taskmon.pb-c.h
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -I$(if $(findstring fuzz_report_,$@),reporter,collector) \
		-o $@ $(filter %.c %.o,$^) $(call pkg_libs,$(COLLECTOR_PKGS)) -liberty -lm $(FUZZ_LINK)
fuzz: $(FUZZERS)

# Of thresholds, without root.
$(B)/bench/thresholds: tests/bench/thresholds.c $(REPORTER_OBJS) $(COMMON_OBJS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -Ireporter -o $@ $< $(filter-out %/main.o,$(REPORTER_OBJS)) $(COMMON_OBJS) \
		$(call pkg_libs,$(REPORTER_PKGS)) -liberty -lm

# BPF programs that do almost nothing, to compare with.
$(B)/bench/bare.bpf.o: tests/bench/bare.bpf.c bpf/kernel_types.h
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(B)/gen/bare.skel.h: $(B)/bench/bare.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name bare_bpf > $@.tmp && mv $@.tmp $@

$(B)/bench/bare: tests/bench/bare.c $(B)/gen/bare.skel.h
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -o $@ $< $(call pkg_libs,libbpf)

BENCH := $(addprefix $(B)/bench/,thresholds bare getppid reader)
$(B)/bench/getppid $(B)/bench/reader: $(B)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -o $@ $<

bench-programs: all workloads $(BENCH)
bench: bench-programs
	$(Q)$(B)/bench/thresholds > $(B)/bench/thresholds.txt && cat $(B)/bench/thresholds.txt
	$(Q)TASKMON_BUILD=$(B) tests/bench/run

install: all
	install -D -m 755 $(B)/taskmon-collector $(DESTDIR)$(sbindir)/taskmon-collector
	install -D -m 644 config/known-apps.json $(DESTDIR)$(datadir)/known-apps.json
	install -D -m 755 $(B)/taskmon-report $(DESTDIR)$(bindir)/taskmon-report
	for page in $(notdir $(MAN_PAGES)); do \
		install -D -m 644 $(B)/man/$$page $(DESTDIR)$(mandir)/man$${page##*.}/$$page || exit 1; \
	done
	for program in $(PROGRAMS); do \
		install -D -m 644 $(B)/completions/$$program $(DESTDIR)$(bashcompdir)/$$program && \
		install -D -m 644 $(B)/completions/_$$program $(DESTDIR)$(zshcompdir)/_$$program || exit 1; \
	done
	for unit in $(notdir $(UNITS)); do \
		install -D -m 644 $(B)/systemd/$$unit $(DESTDIR)$(unitdir)/$$unit || exit 1; \
	done
	install -D -m 644 deploy/systemd/taskmon.sysusers $(DESTDIR)$(sysusersdir)/taskmon.conf
	install -D -m 644 deploy/systemd/taskmon.tmpfiles $(DESTDIR)$(tmpfilesdir)/taskmon.conf

clean:
	rm -rf $(B)

.PHONY: FORCE all check unit-tests workloads asan fuzz bench-programs bench install clean
.DELETE_ON_ERROR:
.SECONDARY:

-include $(shell find $(B) -name '*.d' 2>/dev/null)
