package secret

import "github.com/strongroom-kms/strongroom/sensitive"

// ReadContent reads a backup's content, and says how long its values are.
func ReadContent(text []byte) (n int, err error) {
	_, values, err := readContent(sensitive.Take(text))
	for _, v := range values {
		n += v.Len()
	}
	return n, err
}
