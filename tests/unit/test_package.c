/* test_package.c - is a process of the unit, container or app that a rule names? libs: format base */
#include <string.h>

#include "format/package_format.h"
#include "tests/unit/test.h"

/* The lines that kernels write: of the second version alone, and of the first beside it. */
static bool in(const char *package, const char *path)
{
	char v2[512], v1[1024];

	(void)snprintf(v2, sizeof(v2), "0::%s\n", path);
	(void)snprintf(v1, sizeof(v1), "12:cpu,cpuacct:/\n11:memory:/other\n1:name=systemd:%s\n0::/\n", path);
	CHECK(fa_package_matches(package, v2) == fa_package_matches(package, v1));
	CHECK(fa_package_check(package) == 0);
	return fa_package_matches(package, v2);
}

SPEC(a_unit_is_one_name_of_the_path)
{
	CHECK(in("unit:backup.service", "/system.slice/backup.service"));
	CHECK(in("unit:backup.service", "/system.slice/backup.service/own/group"));
	CHECK(in("unit:backup.service", "/user.slice/user-7.slice/user@7.service/app.slice/backup.service"));
	CHECK(in("unit:app.slice", "/user.slice/user-7.slice/user@7.service/app.slice/backup.service"));
	CHECK(in("unit:session-3.scope", "/user.slice/user-7.slice/session-3.scope"));
	CHECK(in("unit:init.scope", "/init.scope"));
	CHECK(!in("unit:backup.service", "/system.slice/backup.service2"));
	CHECK(!in("unit:backup.service", "/system.slice/my-backup.service"));
	CHECK(!in("unit:backup.service", "/system.slice/backup.servic"));
	CHECK(!in("unit:backup.service", "/backup.service.d/x"));
	CHECK(!in("unit:backup.service", "/"));
}

SPEC(a_template_is_each_of_its_instances)
{
	CHECK(in("unit:job@.service", "/system.slice/system-job.slice/job@one.service"));
	CHECK(in("unit:job@one.service", "/system.slice/system-job.slice/job@one.service"));
	CHECK(!in("unit:job@two.service", "/system.slice/system-job.slice/job@one.service"));
	CHECK(!in("unit:job@.service", "/system.slice/job@.service2"));
	CHECK(!in("unit:job@.service", "/system.slice/job.service"));
	CHECK(!in("unit:job@.service", "/system.slice/jobs@one.service"));
	CHECK(!in("unit:job@.service", "/system.slice/job@one.socket"));
}

SPEC(names_are_as_systemd_writes_them)
{
	CHECK(in("unit:cpu.service", "/system.slice/_cpu.service"));
	CHECK(in("unit:_x.service", "/system.slice/__x.service"));
	CHECK(in("unit:dev-disk-by\\x2dlabel.mount", "/system.slice/dev-disk-by\\x2dlabel.mount"));
	CHECK(!in("unit:cpu.service", "/system.slice/x_cpu.service"));
}

#define ID "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970"

SPEC(containers_are_known_by_their_ids)
{
	static const char *const paths[] = {
		"/docker/" ID,
		"/system.slice/docker-" ID ".scope",
		"/machine.slice/libpod-" ID ".scope/container",
		"/kubepods.slice/kubepods-burstable.slice/cri-containerd-" ID ".scope",
		"/kubepods/burstable/pod1-2-3/" ID,
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		CHECK(in("container:" ID, paths[i]));
		CHECK(in("container:4f797c539e6c", paths[i]));
		CHECK(!in("container:4f797c539e6", paths[i])); /* too short to be one */
		CHECK(!in("container:" ID "0", paths[i]));
		CHECK(!in("container:797c539e6c74", paths[i]));
	}
	CHECK(in("container:build-1", "/machine.slice/machine-build\\x2d1.scope/payload/init.scope"));
	CHECK(in("container:build-1", "/machine.slice/systemd-nspawn@build\\x2d1.service/payload"));
	CHECK(in("container:web", "/lxc.payload.web/system.slice"));
	CHECK(!in("container:build", "/machine.slice/machine-build\\x2d1.scope"));
	CHECK(!in("container:system.slice", "/system.slice/x.service"));
}

SPEC(a_group_is_itself_and_what_is_below)
{
	CHECK(in("cgroup:/a/b", "/a/b"));
	CHECK(in("cgroup:/a/b", "/a/b/c"));
	CHECK(!in("cgroup:/a/b", "/a/bc"));
	CHECK(!in("cgroup:/a/b", "/a"));
	CHECK(!in("cgroup:/a/b", "/x/a/b"));
}

SPEC(apps_are_known_by_the_names_of_their_scopes)
{
#define USER "/user.slice/user-7.slice/user@7.service/app.slice/"
#define UUID "54b38acc-3ba2-4c6d-b284-7ac07e1159e5"
	CHECK(in("flatpak:org.gimp.GIMP", USER "app-flatpak-org.gimp.GIMP-4711.scope"));
	CHECK(in("flatpak:org.a-b.C", USER "app-flatpak-org.a\\x2db.C-4711.scope"));
	CHECK(!in("flatpak:org.gimp.GIM", USER "app-flatpak-org.gimp.GIMP-4711.scope"));
	CHECK(!in("flatpak:org.gimp.GIMP", USER "app-flatpak-org.gimp.GIMP-x.scope"));
	CHECK(!in("flatpak:org.gimp.GIMP", USER "app-gnome-org.gimp.GIMP-4711.scope"));
	CHECK(in("snap:foo", "/system.slice/snap.foo.bar.service"));
	CHECK(in("snap:foo.bar", "/system.slice/snap.foo.bar.service"));
	CHECK(in("snap:foo", USER "snap.foo.bar-" UUID ".scope"));
	CHECK(in("snap:foo.bar", USER "snap.foo.bar-" UUID ".scope"));
	CHECK(in("snap:foo.bar", USER "snap.foo.bar." UUID ".scope"));
	CHECK(in("snap:foo.bar-baz", USER "snap.foo.bar-baz-" UUID ".scope"));
	CHECK(in("snap:foo", USER "snap.foo.hook.install-" UUID ".scope"));
	CHECK(!in("snap:foo.bar", USER "snap.foo.bar-baz-" UUID ".scope"));
	CHECK(!in("snap:fo", USER "snap.foo.bar-" UUID ".scope"));
	CHECK(!in("snap:foo.ba", "/system.slice/snap.foo.bar.service"));
	CHECK(!in("snap:foo", "/system.slice/snap.foo.service"));
}

SPEC(texts_that_are_no_lines_match_nothing)
{
	static const char *const texts[] = {"", "\n", ":", "::", "0::", "0::\n", "0:/a.service\n", "/a.service",
					    "0::a.service\n", "\n\n0:\n:\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CHECK(!fa_package_matches("unit:a.service", texts[i]));
	CHECK(fa_package_matches("unit:a.service", "\n0::/a.service"));
	CHECK(!fa_package_matches("later:a.service", "0::/a.service\n"));
	CHECK(!fa_package_matches("", "0::/a.service\n"));
	CHECK(!fa_package_matches("unit:", "0::/a.service\n"));
}

SPEC(what_a_rule_may_have)
{
	static const char *const bad[] = {
		"",	       "x",		"unit:",	    "unit:a",	    "unit:.service",
		"unit:a/b.service", "unit:a\n.service", "later:a",	    "cgroup:",	    "cgroup:/",
		"cgroup:a",    "cgroup:/a/",	"cgroup:/a//b",     "container:",   "container:a/b",
		"flatpak:",    "snap:",		"snap:a/b",	    "cgroup:/a\n/b"};
	static char longest[5000];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(fa_package_check(bad[i]) < 0);
	memset(longest, 'a', FA_PACKAGE_MAX + 1);
	memcpy(longest, "cgroup:/", 8);
	CHECK(fa_package_check(longest) < 0);
	longest[FA_PACKAGE_MAX] = '\0';
	CHECK(fa_package_check(longest) == 0);
}

int main(void)
{
	RUN(a_unit_is_one_name_of_the_path);
	RUN(a_template_is_each_of_its_instances);
	RUN(names_are_as_systemd_writes_them);
	RUN(containers_are_known_by_their_ids);
	RUN(a_group_is_itself_and_what_is_below);
	RUN(apps_are_known_by_the_names_of_their_scopes);
	RUN(texts_that_are_no_lines_match_nothing);
	RUN(what_a_rule_may_have);
	return TEST_RESULT();
}
