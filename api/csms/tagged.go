package csms

import (
	"math"
	"net/http"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// Limits of a search by tags (csms.md §8.5).
const (
	maxFilters   = 10
	defaultFound = 10 // on a page
)

type taggedAnswer struct {
	Resources  []taggedBody `json:"resources"` // null where they are only counted
	TotalCount int          `json:"total_count"`
}

type taggedBody struct {
	ID      string     `json:"resource_id"`
	Name    string     `json:"resource_name"`
	Detail  secretBody `json:"resource_detail"`
	Tags    []tagBody  `json:"tags"`
	SysTags []tagBody  `json:"sys_tags"`
}

// listTagged serves POST /v1/{project_id}/csms/resource_instances/action.
func (a *API) listTagged(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Secrets.MayFindTagged(r.Context(), who); err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	q, possible, err := tagQuery(f)
	if err != nil {
		return err
	}
	var out taggedAnswer
	if q.Limit > 0 {
		out.Resources = []taggedBody{}
	}
	if possible {
		var page []secret.Tagged
		if page, out.TotalCount, err = a.Secrets.FindTagged(r.Context(), who, q); err != nil {
			return err
		}
		for _, t := range page {
			out.Resources = append(out.Resources, taggedBody{
				string(t.Secret.ID), t.Secret.Handle, bodyOf(t.Secret), tagBodies(t.Tags), []tagBody{},
			})
		}
	}
	reply(w, http.StatusOK, out)
	return nil
}

// tagQuery reads what secrets are wanted. It is not possible that there are
// any where a part of the name is empty: documents say that this matches
// nothing.
func tagQuery(f *fields) (q secret.TagQuery, possible bool, err error) {
	action, sequence := f.text("action"), f.text("sequence")
	tags, matches := f.objects("tags"), f.objects("matches")
	switch {
	case f.err != nil:
		return q, false, f.err
	case action != "filter" && action != "count":
		return q, false, invalid("action")
	case utf8.RuneCountInString(sequence) > maxSequence:
		return q, false, invalid("sequence")
	case len(tags) > maxFilters:
		return q, false, invalid("tags")
	case len(matches) > maxFilters:
		return q, false, invalid("matches")
	}
	if action == "filter" { // what would be counted has no pages
		if q.Limit, err = f.count("limit", defaultFound, 1, maxLimit); err != nil {
			return q, false, err
		}
		if q.Offset, err = f.count("offset", 0, 0, math.MaxInt32); err != nil {
			return q, false, err
		}
	}
	for _, t := range tags {
		filter, err := t.filter()
		if err != nil {
			return q, false, err
		}
		q.Tags = append(q.Tags, filter)
	}
	possible = true
	for _, m := range matches {
		key, part := m.text("key"), m.text("value")
		switch {
		case m.err != nil:
			return q, false, m.err
		case key != "resource_name":
			return q, false, invalid("matches.key")
		case utf8.RuneCountInString(part) > maxTagValue || part != storable(part):
			return q, false, invalid("matches.value")
		}
		possible = possible && part != ""
		q.Names = append(q.Names, part)
	}
	return q, possible, nil
}

// filter reads a tag that a secret must have, with one of several values.
func (f *fields) filter() (secret.TagFilter, error) {
	t := secret.TagFilter{Key: f.text("key"), Values: f.list("values")}
	switch {
	case f.err != nil:
		return t, f.err
	case !tagKey(t.Key):
		return t, invalid("tags.key")
	case len(t.Values) > maxFilters:
		return t, invalid("tags.values")
	}
	for _, v := range t.Values {
		if !tagValue(v) {
			return t, invalid("tags.values")
		}
	}
	return t, nil
}

// count reads a number, in quotes or not, within limits.
func (f *fields) count(name string, otherwise, least, most int) (int, error) {
	n, err := f.numeral(name)
	switch {
	case err != nil:
		return 0, err
	case n == nil:
		return otherwise, nil
	case *n < int64(least) || *n > int64(most):
		return 0, invalid(name)
	}
	return int(*n), nil
}
