package csms

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// Limits of tags, in characters (csms.md §8.5).
const (
	maxTagKey   = 128
	maxTagValue = 255
	maxSequence = 36
)

func (a *API) tagRoutes() []route {
	const (
		csms = "/v1/{project_id}/csms"
		tags = csms + "/{secret_id}/tags"
	)
	return []route{
		{method: "POST", path: tags, handle: a.addTag, nested: true},                                    // 24
		{method: "GET", path: tags, handle: a.listTags, nested: true},                                   // 25
		{method: "DELETE", path: tags + "/{key}", handle: a.removeTag, nested: true},                    // 26
		{method: "POST", path: tags + "/action", handle: a.changeTags, nested: true},                    // 27
		{method: "GET", path: csms + "/tags", handle: a.listProjectTags, nested: true},                  // 28
		{method: "POST", path: csms + "/resource_instances/action", handle: a.listTagged, nested: true}, // 29
	}
}

// tagBody is one tag in a body.
type tagBody struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// tagsAnswer never has a system's own tags: nothing here makes any.
type tagsAnswer struct {
	Tags    []tagBody `json:"tags"`
	SysTags []tagBody `json:"sys_tags"`
}

func tagBodies(tags []secret.Tag) []tagBody {
	out := make([]tagBody, 0, len(tags))
	for _, t := range tags {
		out = append(out, tagBody(t))
	}
	return out
}

// locateTagged finds the secret whose UUID is in the path; a name may stand
// there, too.
func (a *API) locateTagged(r *http.Request, who auth.Principal, act policy.Action) (*secret.Located, error) {
	id := storable(mux.Vars(r)["secret_id"])
	h := secret.Named(who.Project, id)
	if isUUID(id) {
		h = secret.Within(who.Project, secret.ID(id))
	}
	l, err := a.Secrets.Locate(r.Context(), who, act, h, secret.Want{Tags: true})
	if err != nil {
		return nil, err
	}
	return l, l.May(r.Context(), act)
}

// addTag serves POST …/csms/{secret_id}/tags.
func (a *API) addTag(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locateTagged(r, who, policy.TagAdd)
	if err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	t, err := tagIn(f)
	if err != nil {
		return err
	}
	if err := l.AddTag(r.Context(), t); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func tagIn(f *fields) (secret.Tag, error) {
	given := f.object("tag")
	if f.err != nil {
		return secret.Tag{}, f.err
	}
	if given == nil {
		return secret.Tag{}, missing("tag")
	}
	return given.tag("tag")
}

// tag reads the members as a tag, which is called name where it is wrong.
func (f *fields) tag(name string) (secret.Tag, error) {
	t := secret.Tag{Key: f.text("key"), Value: f.text("value")}
	switch {
	case f.err != nil:
		return t, f.err
	case !tagKey(t.Key):
		return t, invalid(name + ".key")
	case !tagValue(t.Value):
		return t, invalid(name + ".value")
	}
	return t, nil
}

// tagKey reports whether s may be a tag's key: letters, separators, digits and
// some signs, without white space at its ends, and none of the system's.
func tagKey(s string) bool {
	return s != "" && s == strings.TrimFunc(s, unicode.IsSpace) && !strings.HasPrefix(s, "_sys_") &&
		utf8.RuneCountInString(s) <= maxTagKey && tagText(s, "_.:=+-@")
}

func tagValue(s string) bool {
	return utf8.RuneCountInString(s) <= maxTagValue && tagText(s, "_.:/=+-@")
}

func tagText(s, signs string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool {
		return !unicode.In(c, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune(signs, c)
	}) < 0
}

// listTags serves GET …/csms/{secret_id}/tags.
func (a *API) listTags(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locateTagged(r, who, policy.TagList)
	if err != nil {
		return err
	}
	tags, err := l.Tags(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, tagsAnswer{tagBodies(tags), []tagBody{}})
	return nil
}

// removeTag serves DELETE …/csms/{secret_id}/tags/{key}. What no tag can be
// called is not there, like any other.
func (a *API) removeTag(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locateTagged(r, who, policy.TagRemove)
	if err != nil {
		return err
	}
	if err := l.RemoveTag(r.Context(), storable(mux.Vars(r)["key"])); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// changeTags serves POST …/csms/{secret_id}/tags/action: all or nothing.
func (a *API) changeTags(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locateTagged(r, who, policy.TagBatch)
	if err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	c, err := tagChange(f)
	if err != nil {
		return err
	}
	if err := l.ChangeTags(r.Context(), c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tagChange reads several tags that come, or go by their keys.
func tagChange(f *fields) (c secret.TagChange, err error) {
	action, sequence, given := f.text("action"), f.text("sequence"), f.objects("tags")
	switch {
	case f.err != nil:
		return c, f.err
	case action != "create" && action != "delete":
		return c, invalid("action")
	case utf8.RuneCountInString(sequence) > maxSequence:
		return c, invalid("sequence")
	case len(given) < 1 || len(given) > secret.MaxTags:
		return c, invalid("tags")
	}
	seen := map[string]bool{}
	for _, g := range given {
		t, err := g.tag("tags")
		if err != nil {
			return c, err
		}
		if seen[t.Key] {
			return c, fault.New(fault.Invalid, "The parameter tags has a key twice.")
		}
		seen[t.Key] = true
		if action == "create" {
			c.Put = append(c.Put, t)
		} else {
			c.Drop = append(c.Drop, t.Key)
		}
	}
	return c, nil
}

type projectTagsAnswer struct {
	Tags []tagValuesBody `json:"tags"`
}

type tagValuesBody struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// listProjectTags serves GET /v1/{project_id}/csms/tags.
func (a *API) listProjectTags(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	all, err := a.Secrets.ProjectTags(r.Context(), who)
	if err != nil {
		return err
	}
	out := projectTagsAnswer{Tags: []tagValuesBody{}}
	for _, t := range all {
		out.Tags = append(out.Tags, tagValuesBody(t))
	}
	reply(w, http.StatusOK, out)
	return nil
}
