package barbican

import (
	"slices"
	"strings"

	"github.com/strongroom-kms/strongroom/secret"
)

// comparisons are the prefixes of a date condition; without one it is an
// equality.
var comparisons = map[string]secret.Comparison{
	"gt": secret.After, "gte": secret.NotBefore, "lt": secret.Before, "lte": secret.NotAfter,
}

// parseBounds reads the conditions on one date: gt:T, gte:T, lt:T, lte:T or T,
// separated by commas (§8.8). name is the parameter, for messages.
func parseBounds(name, text string) ([]secret.Bound, error) {
	if text == "" {
		return nil, nil
	}
	var bounds []secret.Bound
	for condition := range strings.SplitSeq(text, ",") {
		bound := secret.Bound{Op: secret.Equal}
		// A time contains colons too, so the prefix is what has letters.
		if prefix, rest, ok := strings.Cut(condition, ":"); ok && comparisons[prefix] != "" {
			bound.Op, condition = comparisons[prefix], rest
		}
		at, ok := parseTime(condition)
		if !ok {
			return nil, invalid("The query parameter %s holds a condition that is not a date.", name)
		}
		bound.At = at
		if clashes(bounds, bound.Op) {
			return nil, invalid("The query parameter %s holds conditions that do not go together.", name)
		}
		bounds = append(bounds, bound)
	}
	return bounds, nil
}

// exclusive lists what a condition cannot stand together with: there is one
// bound on each side at most, and an equality wants no bound that includes its
// date.
var exclusive = map[secret.Comparison][]secret.Comparison{
	secret.After:     {secret.After, secret.NotBefore},
	secret.NotBefore: {secret.After, secret.NotBefore, secret.Equal},
	secret.Before:    {secret.Before, secret.NotAfter},
	secret.NotAfter:  {secret.Before, secret.NotAfter, secret.Equal},
	secret.Equal:     {secret.Equal, secret.NotBefore, secret.NotAfter},
}

func clashes(have []secret.Bound, op secret.Comparison) bool {
	return slices.ContainsFunc(have, func(b secret.Bound) bool { return slices.Contains(exclusive[op], b.Op) })
}

// sortKeys are what a list may be sorted by.
var sortKeys = []secret.SortKey{
	secret.ByAlgorithm, secret.ByBitLength, secret.ByCreated, secret.ByExpiration, secret.ByMode,
	secret.ByName, secret.ByType, secret.ByStatus, secret.ByUpdated,
}

// parseSort reads key[:asc|:desc], separated by commas (§8.8).
func parseSort(text string) ([]secret.Order, error) {
	if text == "" {
		return nil, nil
	}
	var orders []secret.Order
	for part := range strings.SplitSeq(text, ",") {
		key, direction, directed := strings.Cut(part, ":")
		by := secret.SortKey(key)
		if !slices.Contains(sortKeys, by) {
			return nil, invalid("The query parameter sort holds a key that secrets cannot be sorted by.")
		}
		if directed && direction != "asc" && direction != "desc" {
			return nil, invalid("The query parameter sort holds a direction other than asc and desc.")
		}
		if slices.ContainsFunc(orders, func(o secret.Order) bool { return o.By == by }) {
			return nil, invalid("The query parameter sort holds a key twice.")
		}
		orders = append(orders, secret.Order{By: by, Descending: direction == "desc"})
	}
	return orders, nil
}
