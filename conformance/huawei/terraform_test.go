package huawei

import (
	"cmp"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/def"
	csms "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/csms/v1/model"
)

// planned is a secret in a Terraform configuration.
type planned struct {
	text, description string
	expires           int64 // milliseconds
	tags              map[string]string
}

// terraform does what its provider does for huaweicloud_csms_secret (csms.md
// §12), call by call, through the SDK.
type terraform struct {
	*testing.T
	*csms.CsmsClient
	name, id string
}

// CSMS-189: what apply wrote, the next plan reads back without a difference.
func TestTerraformSecret(t *testing.T) {
	c := client(t)
	tf := &terraform{T: t, CsmsClient: c, name: fresh(t, c, "conformance-terraform")}
	hour := time.Now().Add(time.Hour).Unix() * 1000
	first := planned{"one", "first", hour, map[string]string{"env": "test", "team": "a b"}}
	tf.apply(planned{}, first)
	tf.plan(first)
	second := planned{"two", "", hour + 60_000, map[string]string{"env": "prod"}}
	tf.apply(first, second)
	tf.plan(second)
	tf.destroy()
}

// apply goes from what there is to what shall be.
func (tf *terraform) apply(from, to planned) {
	tf.Helper()
	if tf.id == "" {
		made, err := tf.CreateSecret(&model.CreateSecretRequest{Body: &model.CreateSecretRequestBody{
			Name: tf.name, SecretString: &to.text, Description: &to.description,
		}})
		if err != nil {
			tf.Fatal(err)
		}
		tf.id = *made.Secret.Id
	} else {
		if from.text != to.text {
			if _, err := tf.CreateSecretVersion(&model.CreateSecretVersionRequest{SecretName: tf.name,
				Body: &model.CreateSecretVersionRequestBody{SecretString: &to.text}}); err != nil {
				tf.Fatal(err)
			}
		}
		tf.put(to)
	}
	if _, err := tf.UpdateVersion(&model.UpdateVersionRequest{SecretName: tf.name, VersionId: *tf.newest().Id,
		Body: &model.UpdateVersionRequestBody{ExpireTime: to.expires}}); err != nil {
		tf.Fatal(err)
	}
	tf.retag("delete", from.tags)
	tf.retag("create", to.tags)
}

// updated is the body that the provider sends and that the SDK's own model
// cannot: a member that is there and null.
type updated struct {
	SecretName string      `json:"secret_name"`
	Body       updatedBody `json:"body"`
}

type updatedBody struct {
	Description        string   `json:"description"`
	EventSubscriptions []string `json:"event_subscriptions"`
}

func (tf *terraform) put(to planned) {
	tf.Helper()
	put := def.NewHttpRequestDefBuilder().
		WithMethod(http.MethodPut).WithPath("/v1/{project_id}/secrets/{secret_name}").
		WithResponse(new(model.UpdateSecretResponse)).WithContentType("application/json").
		WithRequestField(def.NewFieldDef().WithName("SecretName").WithJsonTag("secret_name").WithLocationType(def.Path)).
		WithRequestField(def.NewFieldDef().WithName("Body").WithLocationType(def.Body)).
		Build()
	if _, err := tf.HcClient.Sync(&updated{tf.name, updatedBody{Description: to.description}}, put); err != nil {
		tf.Fatal(err)
	}
}

func (tf *terraform) retag(action string, tags map[string]string) {
	tf.Helper()
	var items []model.TagItem
	for key, value := range tags {
		items = append(items, model.TagItem{Key: key, Value: &value})
	}
	if len(items) == 0 {
		return
	}
	if _, err := tf.BatchCreateOrDeleteTags(&model.BatchCreateOrDeleteTagsRequest{SecretId: tf.id,
		Body: &model.BatchCreateOrDeleteTagsRequestBody{Action: action, Tags: items}}); err != nil {
		tf.Fatal(err)
	}
}

// newest is the version that the provider takes for the one that counts.
func (tf *terraform) newest() model.VersionMetadata {
	tf.Helper()
	listed, err := tf.ListSecretVersions(&model.ListSecretVersionsRequest{SecretName: tf.name})
	if err != nil {
		tf.Fatal(err)
	}
	return slices.MaxFunc(*listed.VersionMetadatas, func(a, b model.VersionMetadata) int {
		return cmp.Compare(*a.CreateTime, *b.CreateTime)
	})
}

// plan reads everything, and wants no difference.
func (tf *terraform) plan(want planned) {
	tf.Helper()
	shown, err := tf.ShowSecret(&model.ShowSecretRequest{SecretName: tf.name})
	if err != nil {
		tf.Fatal(err)
	}
	if s := shown.Secret; *s.Id != tf.id || *s.Name != tf.name || *s.Description != want.description || len(*s.EventSubscriptions) != 0 {
		tf.Errorf("shown %v, want %+v", s, want)
	}
	newest := tf.newest()
	read, err := tf.ShowSecretVersion(&model.ShowSecretVersionRequest{SecretName: tf.name, VersionId: *newest.Id})
	if err != nil {
		tf.Fatal(err)
	}
	if *read.Version.SecretString != want.text || *newest.ExpireTime != want.expires {
		tf.Errorf("version %v reads as another value, or expires at another time than %d", newest, want.expires)
	}
	tagged, err := tf.ListSecretTags(&model.ListSecretTagsRequest{SecretId: tf.id})
	if err != nil {
		tf.Fatal(err)
	}
	if len(*tagged.Tags) != len(want.tags) {
		tf.Errorf("tags %v, want %v", *tagged.Tags, want.tags)
	}
	for _, tag := range *tagged.Tags {
		if want.tags[tag.Key] != *tag.Value {
			tf.Errorf("tags %v, want %v", *tagged.Tags, want.tags)
		}
	}
}

func (tf *terraform) destroy() {
	tf.Helper()
	if _, err := tf.DeleteSecret(&model.DeleteSecretRequest{SecretName: tf.name}); err != nil {
		tf.Fatal(err)
	}
	_, err := tf.ShowSecret(&model.ShowSecretRequest{SecretName: tf.name})
	wantFault(tf.T, err, http.StatusNotFound, "CSMS.0106")
}
