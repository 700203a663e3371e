package csms

import (
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// addVersion serves POST /v1/{project_id}/secrets/{secret_name}/versions.
func (a *API) addVersion(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.VersionAdd, secret.Want{Versions: true})
	if err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	in, err := a.newVersion(f)
	if err != nil {
		return err
	}
	defer in.Payload.Wipe()

	v, err := l.AddVersion(r.Context(), in)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, metadataAnswer{metadataOf(v, l.Handle())})
	return nil
}

func (a *API) newVersion(f *fields) (in secret.NewVersion, err error) {
	val, stages := valueOf(f), f.list("version_stages")
	expire, outOfRange := f.number("expire_time")
	if f.err != nil {
		return in, f.err
	}
	if in.Payload, in.ContentType, err = val.payload(a.Config.maxValue()); err != nil {
		return in, err
	}
	if in.Stages, err = stagesNamed(stages); err != nil || outOfRange != nil {
		return in, firstOf(err, outOfRange)
	}
	in.Fits = func(kind string, r secret.Rotation) error { return fits(in.Payload, kind, r.Config) }
	if expire != nil {
		in.ExpiresAt, err = expiry(*expire)
	}
	return in, err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// listVersions serves GET /v1/{project_id}/secrets/{secret_name}/versions. A
// secret has few versions, so a page is cut here.
func (a *API) listVersions(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.VersionList, secret.Want{Versions: true})
	if err != nil {
		return err
	}
	q, err := parameters(r)
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	marker := q.Get("marker")
	if marker != "" && marker != latest && !versionForm(marker) {
		return invalid("marker")
	}
	all, err := l.Versions(r.Context())
	if err != nil {
		return err
	}
	out := metadatasAnswer{Metadatas: []metadataBody{}}
	var keys []string
	more := false
	for _, v := range follow(all, marker) {
		if more = len(keys) == limit; more {
			break
		}
		out.Metadatas = append(out.Metadatas, metadataOf(v, l.Handle()))
		keys = append(keys, v.Label())
	}
	out.PageInfo = page(keys, more)
	reply(w, http.StatusOK, out)
	return nil
}

// follow returns the versions after a marker, which need not exist any more.
// After the latest there is none.
func follow(all []secret.Version, marker string) []secret.Version {
	if marker == "" {
		return all
	}
	n := versionNumber(marker)
	for i, v := range all {
		if n != 0 && v.Number > n {
			return all[i:]
		}
	}
	return nil
}

// showVersion serves GET …/versions/{version_id}: the value.
func (a *API) showVersion(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	id := mux.Vars(r)["version_id"]
	want := secret.Want{Sealed: true, Versions: true, Number: versionNumber(id)}
	if id == latest {
		want.Stage = secret.Current // named, for rules that ask which stage is read
	} else if want.Number == 0 {
		return a.noVersion(r, who, policy.SecretReveal)
	}
	l, err := a.find(r, who, policy.SecretReveal, want)
	if err != nil {
		return err
	}
	out, err := l.Reveal(r.Context())
	if err != nil {
		return err
	}
	defer out.Payload.Wipe()
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, versionAnswer{versionOf(out)})
	return nil
}

// noVersion answers a version identifier that no version can have, when the
// secret is there and the caller may know it.
func (a *API) noVersion(r *http.Request, who auth.Principal, act policy.Action) error {
	if _, err := a.locate(r, who, act, secret.Want{}); err != nil {
		return err
	}
	return secret.ErrNoVersion
}

// updateVersion serves PUT …/versions/{version_id}: when it expires.
func (a *API) updateVersion(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	const act = policy.VersionUpdate
	l, err := a.find(r, who, act, secret.Want{Versions: true})
	if err != nil {
		return err
	}
	at, err := newExpiry(r)
	if err != nil {
		return sooner(r.Context(), l, act, err)
	}
	id := mux.Vars(r)["version_id"]
	number := versionNumber(id)
	switch {
	case id == latest:
		number = secret.CurrentVersion
	case number == 0:
		return sooner(r.Context(), l, act, secret.ErrNoVersion)
	}
	v, err := l.SetExpiry(r.Context(), number, at)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, metadataAnswer{metadataOf(v, l.Handle())})
	return nil
}

func newExpiry(r *http.Request) (*time.Time, error) {
	f, err := readFields(r)
	if err != nil {
		return nil, err
	}
	n, err := f.number("expire_time")
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, missing("expire_time")
	}
	return expiry(*n)
}
