# Put the files in place and take exactly those away again. Included by Makefile, which sets B, PREFIX
# and VERSION. Changes nothing that runs: the line in /etc/ld.so.preload is `firstalloc install`'s.
DESTDIR   ?=
MANDIR    ?= $(PREFIX)/share/man
UNITDIR   ?= $(PREFIX)/lib/systemd/system
SYSUSERS  ?= $(PREFIX)/lib/sysusers.d
BASHCOMP  ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMP   ?= $(PREFIX)/share/zsh/vendor-completions
LIBDIR    ?= $(PREFIX)/lib
INCDIR    ?= $(PREFIX)/include
PKGCONFIG ?= $(LIBDIR)/pkgconfig
INITRAMFS ?= $(PREFIX)/share/initramfs-tools
DRACUT    ?= $(PREFIX)/lib/dracut/modules.d/95firstalloc
SYSCONF   ?= /etc/firstalloc

commands   = $(shell sed -n 's/.*\bX(\([a-z_]*\)) *\\*$$/\1/p' src/cli/command.h)
man_gen    = $(B)/man/firstalloc.1 $(patsubst %,$(B)/man/firstalloc-%.1,$(commands))
man_src    = docs/man/firstallocd.8 docs/man/firstalloc.ini.5
# A page for each function of the C library, from the comments of its header.
api_calls  = $(shell tools/api-man.sh list include/firstalloc.h)
api_man    = $(patsubst %,$(B)/man/%.3,$(api_calls))
generated  = $(man_gen) $(api_man) $(B)/share/firstalloc.pc $(B)/share/firstalloc.bash $(B)/share/_firstalloc $(B)/share/firstallocd.service

$(B)/man/firstalloc.1: $(B)/firstalloc
	@mkdir -p $(@D)
	$(B)/firstalloc help --man > $@
$(B)/man/firstalloc-%.1: $(B)/firstalloc
	@mkdir -p $(@D)
	$(B)/firstalloc help --man $* > $@
$(B)/man/%.3: include/firstalloc.h tools/api-man.sh
	@mkdir -p $(@D)
	tools/api-man.sh page $< $* $(VERSION) > $@
$(B)/share/firstalloc.pc: src/api/firstalloc.pc.in Makefile install.mk
	@mkdir -p $(@D)
	sed 's|@PREFIX@|$(PREFIX)|g; s|@LIBDIR@|$(LIBDIR)|g; s|@INCDIR@|$(INCDIR)|g; s|@VERSION@|$(VERSION)|g' $< > $@
$(B)/share/firstalloc.bash: $(B)/firstalloc
	@mkdir -p $(@D)
	$(B)/firstalloc help --complete bash > $@
$(B)/share/_firstalloc: $(B)/firstalloc
	@mkdir -p $(@D)
	$(B)/firstalloc help --complete zsh > $@
$(B)/share/firstallocd.service: boot/firstallocd.service
	@mkdir -p $(@D)
	sed 's|@PREFIX@|$(PREFIX)|g' $< > $@

# For machines that run 32-bit programs as well. A compiler without -m32 leaves it out.
lib32 = $(B)/libfirstalloc_preload_32.so
all: $(lib32)
$(lib32): shim/32/empty.c
	@mkdir -p $(@D)
	@rm -f $@
	-$(CC) -m32 -O2 -fPIC -shared -nostdlib -Wl,-z,noexecstack -Wl,-soname,libfirstalloc_preload.so -o $@ $<

# What was copied and which folders were made is remembered here: `uninstall` removes exactly that.
MANIFEST   = $(PREFIX)/lib/firstalloc/manifest
# mode, from, to
define put
	@DESTDIR='$(DESTDIR)' tools/put.sh '$(MANIFEST)' put $(1) '$(2)' '$(3)'

endef
# target, to
define symlink
	@DESTDIR='$(DESTDIR)' tools/put.sh '$(MANIFEST)' link '$(1)' '$(2)'

endef

install: all $(generated) ## copy programs, library, man pages, completions and units below PREFIX
	$(call put,0755,$(B)/firstalloc,$(PREFIX)/bin/firstalloc)
	$(call put,0755,$(B)/firstallocd,$(PREFIX)/sbin/firstallocd)
	$(call put,0755,$(B)/libfirstalloc_preload.so,$(PREFIX)/lib/firstalloc/libfirstalloc_preload.so)
	$(if $(wildcard $(lib32)),$(call put,0755,$(lib32),$(PREFIX)/lib/firstalloc/libfirstalloc_preload_32.so))
	$(call put,0755,$(B)/libfirstalloc.so.0,$(LIBDIR)/libfirstalloc.so.0)
	$(call symlink,libfirstalloc.so.0,$(LIBDIR)/libfirstalloc.so)
	$(call put,0644,include/firstalloc.h,$(INCDIR)/firstalloc.h)
	$(call put,0644,$(B)/share/firstalloc.pc,$(PKGCONFIG)/firstalloc.pc)
	$(foreach m,$(api_man),$(call put,0644,$(m),$(MANDIR)/man3/$(notdir $(m))))
	$(foreach m,$(man_gen),$(call put,0644,$(m),$(MANDIR)/man1/$(notdir $(m))))
	$(foreach m,$(man_src),$(call put,0644,$(m),$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))))
	$(call put,0644,$(B)/share/firstalloc.bash,$(BASHCOMP)/firstalloc)
	$(call put,0644,$(B)/share/_firstalloc,$(ZSHCOMP)/_firstalloc)
	$(call put,0644,$(B)/share/firstallocd.service,$(UNITDIR)/firstallocd.service)
	$(call put,0755,boot/initramfs-tools/init-bottom,$(INITRAMFS)/scripts/init-bottom/firstalloc)
	$(call put,0755,boot/dracut/module-setup.sh,$(DRACUT)/module-setup.sh)
	$(call put,0755,boot/dracut/pre-pivot.sh,$(DRACUT)/pre-pivot.sh)
	$(call put,0644,boot/10-firstallocd.conf,$(UNITDIR)/service.d/10-firstallocd.conf)
	$(call put,0644,boot/not-itself.conf,$(UNITDIR)/firstallocd.service.d/10-firstallocd.conf)
	$(call put,0644,boot/firstalloc-sysusers.conf,$(SYSUSERS)/firstalloc.conf)
	@if [ ! -e $(DESTDIR)$(SYSCONF)/firstalloc.ini ]; then \
		DESTDIR='$(DESTDIR)' tools/put.sh '$(MANIFEST)' put 0644 config/firstalloc.ini \
			'$(SYSCONF)/firstalloc.ini'; \
	elif ! cmp -s config/firstalloc.ini $(DESTDIR)$(SYSCONF)/firstalloc.ini; then \
		echo "kept $(DESTDIR)$(SYSCONF)/firstalloc.ini, which differs from config/firstalloc.ini"; \
	fi
	@echo "installed below $(DESTDIR)$(PREFIX); programs are not touched before: firstalloc install"

# Settings that somebody wrote stay; the library that `firstalloc install` placed is its own to remove.
uninstall: ## remove what install copied (after `firstalloc uninstall`)
	@if [ -z "$(DESTDIR)" ] && grep -qs libfirstalloc_preload /etc/ld.so.preload; then \
		echo "/etc/ld.so.preload still names the library: first run: firstalloc uninstall"; exit 1; \
	fi
	@if [ -e $(DESTDIR)$(SYSCONF)/firstalloc.ini ] && \
		! cmp -s config/firstalloc.ini $(DESTDIR)$(SYSCONF)/firstalloc.ini; then \
		echo "kept $(DESTDIR)$(SYSCONF)/firstalloc.ini, which was changed"; \
		sed -i '\|^f $(SYSCONF)/firstalloc.ini$$|d' $(DESTDIR)$(MANIFEST); \
	fi
	@DESTDIR='$(DESTDIR)' tools/put.sh '$(MANIFEST)' remove
.PHONY: install uninstall
