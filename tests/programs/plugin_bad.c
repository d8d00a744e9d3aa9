/* plugin_bad - a library that can be mapped, but not bound. cflags: -shared -fPIC -g -O2 */
int nobody_has_this(void);

int plugin_bad(void)
{
	return nobody_has_this();
}
