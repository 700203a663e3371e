package barbican

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parameter is one part of a query string.
type parameter struct{ name, value string }

// query is a query string in the order in which it was written.
type query []parameter

// parseQuery takes a query string apart. It refuses what does not decode and a
// parameter that is there twice: there is no telling which one was meant.
func parseQuery(raw string) (query, error) {
	var q query
	seen := map[string]bool{}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil {
			return nil, invalid("The query string is malformed.")
		}
		if seen[name] {
			return nil, invalid("A query parameter is there more than once.")
		}
		seen[name] = true
		q = append(q, parameter{name, value})
	}
	return q, nil
}

// find returns a parameter, and whether it is there.
func (q query) find(name string) (string, bool) {
	for _, p := range q {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// get returns a parameter; an empty one is as good as none.
func (q query) get(name string) string {
	value, _ := q.find(name)
	return value
}

// text returns a parameter that is compared with stored text.
func (q query) text(name string) (string, error) {
	value := q.get(name)
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		return "", invalid("The query parameter %s is not text in UTF-8.", name)
	}
	return value, nil
}

// pattern returns a parameter that is a LIKE pattern. There \ takes the
// meaning of the character after it, so it cannot be the last one.
func (q query) pattern(name string) (string, error) {
	value, err := q.text(name)
	trailing := len(value) - len(strings.TrimRight(value, `\`))
	if err == nil && trailing%2 == 1 {
		err = invalid("The query parameter %s ends in an escape character.", name)
	}
	return value, err
}

// integer reads a number as leniently as clients expect: blanks around it and
// a sign are fine, one that is too large counts as the largest. ok is false
// for everything else.
func (q query) integer(name string) (n int, ok bool) {
	text := strings.TrimFunc(q.get(name), blank)
	sign := strings.TrimLeft(text, "+-")
	if len(text)-len(sign) > 1 || !digits(sign) {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil && strings.HasPrefix(text, "-") {
		return math.MinInt, true
	}
	if err != nil {
		return math.MaxInt, true
	}
	return n, true
}

// page is which part of a list is asked for.
type page struct{ limit, offset int }

// page reads limit and offset, which are never wrong (§7.5).
func (q query) page(l Limits) page {
	limit, ok := q.integer("limit")
	if !ok {
		limit = l.DefaultPage
	}
	offset, _ := q.integer("offset")
	if offset < 0 || offset == math.MaxInt {
		offset = 0
	}
	return page{limit: min(max(limit, 1), l.MaxPage), offset: offset}
}

// links are the URLs of the pages before and after p of a list at url, with
// all other parameters repeated. A page with nothing on it has none.
func (p page) links(url string, q query, onPage, total int) (previous, next string) {
	if onPage == 0 {
		return "", ""
	}
	if p.offset > 0 {
		previous = page{p.limit, max(0, p.offset-p.limit)}.link(url, q)
	}
	if total > p.offset+p.limit {
		next = page{p.limit, p.offset + p.limit}.link(url, q)
	}
	return previous, next
}

func (p page) link(base string, q query) string {
	var b strings.Builder
	b.WriteString(base + "?limit=" + strconv.Itoa(p.limit) + "&offset=" + strconv.Itoa(p.offset))
	for _, other := range q {
		if other.name != "limit" && other.name != "offset" {
			b.WriteString("&" + url.QueryEscape(other.name) + "=" + url.QueryEscape(other.value))
		}
	}
	return b.String()
}
