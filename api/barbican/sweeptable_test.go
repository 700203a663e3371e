package barbican_test

import (
	"github.com/strongroom-kms/strongroom/policy"
)

// surface is what the sweep expects of one route: written down from the
// specification, for every route that there is.
type surface struct {
	act policy.Action
	on  string // secret, container, order: what {id} is; empty: none
	// late is for what has no owner: that it is not there is told after whether
	// the caller may ask.
	late bool

	want   int    // where it is allowed and nothing is wrong
	older  int    // the same in the older form of a path, where it differs
	abroad int    // to who is listed abroad, where that is less than the policy allows
	body   string // that is right; empty: none is read
	wrong  string // of another type than it must be; empty: there is no such thing
	media  string // Content-Type of the body; empty: JSON, and no other
	accept int    // what an Accept of none of our types is; 0: it does not matter
}

const (
	oneUse   = `{"service":"s","resource_type":"t","resource_id":"i"}`
	oneParty = `{"name":"n","URL":"https://u"}`
	oneEntry = `{"name":"e","secret_ref":"https://kms.test/v1/secrets/{mine}"}`
	sameACL  = `{"read":{}}`
	badACL   = `{"read":{"users":5}}`
	keyOrder = `{"type":"key","meta":{"algorithm":"aes","bit_length":256,"mode":"cbc"}}`
)

var surfaces = map[string]surface{
	"GET /v1": {want: 200, accept: 406},

	"POST /v1/secrets":                       {act: policy.SecretCreate, want: 201, body: `{"name":"n"}`, wrong: `{"name":5}`, accept: 406},
	"GET /v1/secrets":                        {act: policy.SecretList, want: 200, accept: 406},
	"GET /v1/secrets/{id}":                   {act: policy.SecretShow, on: "secret", want: 200, accept: 406},
	"PUT /v1/secrets/{id}":                   {act: policy.SecretStore, on: "secret", want: 204, older: 200, body: "x", media: "text/plain"},
	"DELETE /v1/secrets/{id}":                {act: policy.SecretDelete, on: "secret", want: 204},
	"GET /v1/secrets/{id}/payload":           {act: policy.SecretReveal, on: "secret", want: 200, accept: 406},
	"GET /v1/secrets/{id}/metadata":          {act: policy.MetadataRead, on: "secret", want: 200},
	"PUT /v1/secrets/{id}/metadata":          {act: policy.MetadataWrite, on: "secret", want: 201, body: `{"metadata":{"a":"b"}}`, wrong: `{"metadata":[]}`, accept: 406},
	"POST /v1/secrets/{id}/metadata":         {act: policy.MetadataWrite, on: "secret", want: 201, body: `{"key":"new","value":"v"}`, wrong: `{"key":5}`, accept: 406},
	"GET /v1/secrets/{id}/metadata/{key}":    {act: policy.MetadataRead, on: "secret", want: 200, accept: 406},
	"PUT /v1/secrets/{id}/metadata/{key}":    {act: policy.MetadataWrite, on: "secret", want: 200, body: `{"key":"k","value":"w"}`, wrong: `{"key":"k","value":[]}`},
	"DELETE /v1/secrets/{id}/metadata/{key}": {act: policy.MetadataWrite, on: "secret", want: 204, accept: 406},

	"GET /v1/secrets/{id}/acl":    {act: policy.SecretACLRead, on: "secret", want: 200, accept: 406},
	"PUT /v1/secrets/{id}/acl":    {act: policy.SecretACLWrite, on: "secret", want: 200, body: sameACL, wrong: badACL, accept: 406},
	"PATCH /v1/secrets/{id}/acl":  {act: policy.SecretACLWrite, on: "secret", want: 200, body: sameACL, wrong: badACL, accept: 406},
	"DELETE /v1/secrets/{id}/acl": {act: policy.SecretACLDrop, on: "secret", want: 200, accept: 406},

	"GET /v1/secrets/{id}/consumers":            {act: policy.ConsumerList, on: "secret", want: 200, accept: 406},
	"POST /v1/secrets/{id}/consumers":           {act: policy.ConsumerAdd, on: "secret", want: 200, body: oneUse, wrong: `{"service":5}`, accept: 406},
	"DELETE /v1/secrets/{id}/consumers":         {act: policy.ConsumerRemove, on: "secret", want: 200, abroad: 403, body: oneUse, wrong: `{"service":5}`, accept: 406},
	"GET /v1/secrets/{id}/consumers/{consumer}": {act: policy.ConsumerList, on: "secret", want: 404, accept: 406},

	"POST /v1/containers":        {act: policy.ContainerCreate, want: 201, body: `{"type":"generic"}`, wrong: `{"type":5}`, accept: 406},
	"GET /v1/containers":         {act: policy.ContainerList, want: 200, accept: 406},
	"GET /v1/containers/{id}":    {act: policy.ContainerShow, on: "container", want: 200, accept: 406},
	"DELETE /v1/containers/{id}": {act: policy.ContainerDelete, on: "container", want: 204},

	"POST /v1/containers/{id}/secrets":   {act: policy.ContainerSecretAdd, on: "container", want: 201, body: `{"secret_ref":"https://kms.test/v1/secrets/{mine}"}`, wrong: `{"secret_ref":5}`, accept: 406},
	"DELETE /v1/containers/{id}/secrets": {act: policy.ContainerSecretRemove, on: "container", want: 204, body: oneEntry, wrong: `{"secret_ref":5}`, media: "*/*"},

	"GET /v1/containers/{id}/acl":    {act: policy.ContainerACLRead, on: "container", want: 200, accept: 406},
	"PUT /v1/containers/{id}/acl":    {act: policy.ContainerACLWrite, on: "container", want: 200, body: sameACL, wrong: badACL, accept: 406},
	"PATCH /v1/containers/{id}/acl":  {act: policy.ContainerACLWrite, on: "container", want: 200, body: sameACL, wrong: badACL, accept: 406},
	"DELETE /v1/containers/{id}/acl": {act: policy.ContainerACLDrop, on: "container", want: 200, accept: 406},

	"GET /v1/containers/{id}/consumers":            {act: policy.ContainerConsumerList, on: "container", want: 200, accept: 406},
	"POST /v1/containers/{id}/consumers":           {act: policy.ContainerConsumerAdd, on: "container", want: 200, body: oneParty, wrong: `{"name":5}`, accept: 406},
	"DELETE /v1/containers/{id}/consumers":         {act: policy.ContainerConsumerRemove, on: "container", want: 200, abroad: 403, body: oneParty, wrong: `{"name":5}`, accept: 406},
	"GET /v1/containers/{id}/consumers/{consumer}": {act: policy.ContainerConsumerList, on: "container", want: 404, accept: 406},

	"POST /v1/orders":        {act: policy.OrderCreate, want: 202, body: keyOrder, wrong: `{"type":"key","meta":5}`, accept: 406},
	"GET /v1/orders":         {act: policy.OrderList, want: 200, accept: 406},
	"PUT /v1/orders":         {act: policy.OrderUpdate, want: 405, accept: 406},
	"GET /v1/orders/{id}":    {act: policy.OrderShow, on: "order", want: 200, accept: 406},
	"DELETE /v1/orders/{id}": {act: policy.OrderDelete, on: "order", want: 204},

	"GET /v1/quotas":                      {act: policy.QuotaShow, want: 200, accept: 406},
	"GET /v1/project-quotas":              {act: policy.ProjectQuotaShow, want: 200, accept: 406},
	"GET /v1/project-quotas/{project}":    {act: policy.ProjectQuotaShow, late: true, want: 200, accept: 406},
	"PUT /v1/project-quotas/{project}":    {act: policy.ProjectQuotaChange, want: 204, body: `{"project_quotas":{"orders":5}}`, wrong: `{"project_quotas":{"orders":"5"}}`, accept: 406},
	"DELETE /v1/project-quotas/{project}": {act: policy.ProjectQuotaDelete, late: true, want: 204},

	"GET /v1/transport_keys":             {act: policy.TransportKeyList, want: 200, accept: 406},
	"POST /v1/transport_keys":            {act: policy.TransportKeyCreate, want: 403, body: `{"plugin_name":"p","transport_key":"k"}`, wrong: `{"plugin_name":5}`, accept: 406},
	"GET /v1/transport_keys/{key_id}":    {act: policy.TransportKeyShow, want: 404, accept: 406},
	"DELETE /v1/transport_keys/{key_id}": {act: policy.TransportKeyDelete, want: 404, accept: 406},

	// The stores are off, as they are by default.
	"GET /v1/secret-stores":                   {act: policy.StoreList, want: 404, accept: 406},
	"GET /v1/secret-stores/global-default":    {act: policy.StoreShowDefault, want: 404, accept: 406},
	"GET /v1/secret-stores/preferred":         {act: policy.StoreShowPreferred, want: 404, accept: 406},
	"GET /v1/secret-stores/{id}":              {on: "store", want: 404},
	"POST /v1/secret-stores/{id}/preferred":   {on: "store", want: 404},
	"DELETE /v1/secret-stores/{id}/preferred": {on: "store", want: 404},

	"GET /":            {want: 300, accept: 406},
	"GET /healthcheck": {want: 200},
}
