package barbican

import (
	"strconv"
	"strings"

	"github.com/strongroom-kms/strongroom/secret"
)

const (
	mediaJSON     = "application/json"
	mediaJSONHome = "application/json-home"
)

// mediaType is the media type of a header value, without parameters and in
// lower case.
func mediaType(value string) string {
	t, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// mediaRange is one element of an Accept header.
type mediaRange struct {
	name    string  // lower case, without parameters
	quality float64 // 0: explicitly not wanted
}

// mediaRanges reads an Accept header. It never fails: what is no media range
// matches nothing.
func mediaRanges(header []string) []mediaRange {
	var out []mediaRange
	for element := range strings.SplitSeq(strings.Join(header, ","), ",") {
		m := mediaRange{name: mediaType(element), quality: 1}
		_, parameters, _ := strings.Cut(element, ";")
		for p := range strings.SplitSeq(parameters, ";") {
			name, value, _ := strings.Cut(p, "=")
			if strings.EqualFold(strings.TrimSpace(name), "q") {
				m.quality = quality(strings.TrimSpace(value))
			}
		}
		out = append(out, m)
	}
	return out
}

// quality reads a q value. What is none counts as not wanted.
func quality(text string) float64 {
	q, err := strconv.ParseFloat(text, 64)
	if err != nil || !(q >= 0 && q <= 1) { // NaN included
		return 0
	}
	return q
}

// covers reports whether the range contains a media type.
func (m mediaRange) covers(media string) bool {
	family, _, _ := strings.Cut(media, "/")
	return m.name == media || m.name == "*/*" || m.name == family+"/*"
}

// preference is the highest quality that a header gives media.
func preference(header []string, media string) float64 {
	best := 0.0
	for _, m := range mediaRanges(header) {
		if m.covers(media) {
			best = max(best, m.quality)
		}
	}
	return best
}

// accepts reports whether an Accept header admits media (§5.1). Without a
// header everything is admitted. A header that begins with media admits it
// whatever follows, as upstream has it.
func accepts(header []string, media string) bool {
	text := strings.Join(header, ",")
	return strings.TrimSpace(text) == "" || strings.HasPrefix(text, media) || preference(header, media) > 0
}

// knownPayloadType is the stored form of a payload's media type, and "" where
// we do not know it (§8.3). Of the parameters only the first is looked at: it
// must say utf-8, under any name.
func knownPayloadType(value string) string {
	media := mediaType(value)
	switch media {
	case secret.Text, secret.Binary, secret.PKCS8:
	default:
		return ""
	}
	if parts := strings.Split(value, ";"); len(parts) > 1 {
		name, charset, ok := strings.Cut(strings.TrimSpace(parts[1]), "=")
		if !ok || name == "" || !strings.EqualFold(charset, "utf-8") {
			return ""
		}
	}
	return media
}

// payloadAccept is what a payload request asks for (§8.5).
type payloadAccept struct {
	media  string // stored form; empty: whatever is stored
	answer string // the Content-Type to answer with; empty: whatever is stored
}

// Content-Types of answers with text.
const (
	textUpper = "text/plain; charset=UTF-8" // what upstream says where nothing else was asked for
	textLower = "text/plain; charset=utf-8"
)

// parsePayloadAccept reads Accept where it asks for a payload. Lists,
// wildcards other than */* and q values ask for nothing that we could give.
func parsePayloadAccept(header []string) (payloadAccept, bool) {
	text := strings.TrimSpace(strings.Join(header, ","))
	switch text {
	case "":
		return payloadAccept{secret.Binary, secret.Binary}, true
	case "*/*":
		return payloadAccept{}, true
	}
	media := knownPayloadType(text)
	switch {
	case media == "":
		return payloadAccept{}, false
	case media != secret.Text:
		return payloadAccept{media, media}, true
	case strings.Count(text, ";") == 1:
		return payloadAccept{media, text}, true // one charset parameter: answered as asked
	}
	return payloadAccept{media, textUpper}, true
}

// wantsMetadata reports whether GET of a secret asks for its metadata rather
// than its payload (§8.4): nothing said, anything, or JSON among others.
func wantsMetadata(header []string) bool {
	text := strings.Join(header, ",")
	if header == nil || text == "*/*" {
		return true
	}
	for _, m := range mediaRanges(header) {
		if m.name == mediaJSON && m.quality > 0 {
			return true
		}
	}
	return false
}
