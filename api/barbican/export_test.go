package barbican

// Route is one operation, for tests that must miss none.
type Route struct{ Method, Path string }

// Routes are all operations of a mounted API, in today's form.
func (a *API) Routes() []Route {
	var all []Route
	for _, r := range append(a.routes(), a.open()...) {
		if r.method != otherMethod {
			all = append(all, Route{r.method, r.path})
		}
	}
	return all
}
