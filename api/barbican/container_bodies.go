package barbican

import (
	"strings"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/secret"
)

// containerBody is a container as clients see it (§12.1).
type containerBody struct {
	Created      string         `json:"created"`
	Updated      string         `json:"updated"`
	Status       string         `json:"status"`
	Name         *string        `json:"name"`
	Type         container.Type `json:"type"`
	CreatorID    *string        `json:"creator_id"`
	SecretRefs   []entryBody    `json:"secret_refs"`
	Consumers    []partyBody    `json:"consumers"`
	ContainerRef string         `json:"container_ref"`
}

type entryBody struct {
	Name      *string `json:"name"`
	SecretRef string  `json:"secret_ref"`
}

type partyBody struct {
	Name string `json:"name"`
	URL  string `json:"URL"`
}

// containerConsumerBody is one registration (§13).
type containerConsumerBody struct {
	Created string `json:"created"`
	Updated string `json:"updated"`
	Status  string `json:"status"`
	partyBody
}

// containerRefBody answers a creation.
type containerRefBody struct {
	ContainerRef string `json:"container_ref"`
}

// containerListBody is a page of containers.
type containerListBody struct {
	Containers []containerBody `json:"containers"`
	Previous   string          `json:"previous,omitempty"`
	Next       string          `json:"next,omitempty"`
	Total      int             `json:"total"`
}

// containerConsumersBody is a page of a container's consumers.
type containerConsumersBody struct {
	Consumers []containerConsumerBody `json:"consumers"`
	Previous  string                  `json:"previous,omitempty"`
	Next      string                  `json:"next,omitempty"`
	Total     int                     `json:"total"`
}

func (c *call) containerRef(id container.ID) string {
	return c.collectionOf("containers") + "/" + string(id)
}

func (c *call) containerBody(k container.Container) containerBody {
	b := containerBody{
		Created: formatTime(k.CreatedAt), Updated: formatTime(k.UpdatedAt), Status: "ACTIVE",
		Name: k.Name, Type: k.Type, ContainerRef: c.containerRef(k.ID),
		SecretRefs: []entryBody{}, Consumers: []partyBody{},
	}
	if k.Creator != "" {
		id := string(k.Creator)
		b.CreatorID = &id
	}
	for _, e := range k.Entries {
		b.SecretRefs = append(b.SecretRefs, entryBody{Name: e.Name, SecretRef: c.ref(e.Secret)})
	}
	for _, p := range k.Consumers {
		b.Consumers = append(b.Consumers, partyBody(p))
	}
	return b
}

func newContainerConsumerBody(n container.Consumer) containerConsumerBody {
	return containerConsumerBody{formatTime(n.CreatedAt), formatTime(n.UpdatedAt), "ACTIVE", partyBody(n.Party)}
}

// newContainer reads the body of a creation. References must begin with the
// service's URL; the rest is the store's to find (§12.2).
func newContainer(body object, base string) (in container.New, err error) {
	if in.Name, err = body.labelOrNull("name"); err != nil {
		return in, err
	}
	kind, err := body.oneOf("type", string(container.Generic), string(container.RSA), string(container.Certificate))
	if err != nil {
		return in, err
	}
	if !body.has("type") {
		return in, body.mismatch("type", "type is required")
	}
	in.Type = container.Type(kind)
	refs, err := newSecretRefs(body)
	if err != nil {
		return in, err
	}
	if err := refs.check(body, base); err != nil {
		return in, err
	}
	for _, r := range refs {
		in.Entries = append(in.Entries, container.Entry{Name: r.name, Secret: r.id()})
	}
	return in, nil
}

// secretRef is one element of secret_refs as it was sent.
type secretRef struct {
	name  *string
	named bool // null is not the same as absent, which is the same as ""
	ref   string
}

type secretRefs []secretRef

// id is the last segment of a reference's path.
func (r secretRef) id() secret.ID {
	ref := strings.TrimSuffix(r.ref, "/")
	return secret.ID(ref[strings.LastIndex(ref, "/")+1:])
}

func newSecretRefs(body object) (secretRefs, error) {
	if !body.has("secret_refs") {
		return nil, nil
	}
	elements, ok := body.members["secret_refs"].([]any)
	if !ok {
		return nil, body.mismatch("secret_refs", "secret_refs must be an array")
	}
	refs := make(secretRefs, 0, len(elements))
	for _, e := range elements {
		members, ok := e.(map[string]any)
		if !ok {
			return nil, body.mismatch("secret_refs", "each of secret_refs must be an object")
		}
		element := object{body.schema, members}
		name, err := element.labelOrNull("name")
		if err != nil {
			return nil, err
		}
		ref, err := element.required("secret_ref")
		if err != nil {
			return nil, err
		}
		refs = append(refs, secretRef{name, element.has("name"), ref})
	}
	return refs, nil
}

// check says what is wrong with the references together: first their names,
// then what they name, then where (§12.2).
func (refs secretRefs) check(body object, base string) error {
	type key struct {
		null bool
		name string
	}
	names, ids := map[key]bool{}, map[secret.ID]bool{}
	for _, r := range refs {
		k := key{null: r.named && r.name == nil}
		if r.name != nil {
			k.name = *r.name
		}
		if names[k] {
			return body.mismatch("secret_refs", "two of secret_refs have the same name, or none")
		}
		names[k] = true
	}
	for _, r := range refs {
		if ids[r.id()] {
			return body.mismatch("secret_refs", "two of secret_refs are the same secret")
		}
		ids[r.id()] = true
	}
	for _, r := range refs {
		if !strings.HasPrefix(r.ref, base+"/") {
			return body.mismatch("secret_refs", "each secret_ref must begin with the URL of this service")
		}
	}
	return nil
}

// newEntry reads a secret that is to be added or removed (§12.5). Where the
// reference points to does not matter, but for its end.
func newEntry(body object) (e container.Entry, err error) {
	if e.Name, err = body.label("name"); err != nil {
		return e, err
	}
	ref, err := body.required("secret_ref")
	if err != nil {
		return e, err
	}
	last := strings.LastIndex(ref, "/")
	if last < 0 {
		return e, body.mismatch("secret_ref", "secret_ref must be a URL")
	}
	e.Secret = secret.ID(ref[last+1:])
	return e, nil
}

// maxConsumerName limits the name of a consumer, in characters.
const maxConsumerName = 36

// newParty reads who registers, or goes (§13).
func newParty(body object) (p container.Party, err error) {
	if p.Name, err = body.requiredLabel("name", maxConsumerName); err != nil {
		return p, err
	}
	p.URL, err = body.requiredLabel("URL", maxText)
	return p, err
}
