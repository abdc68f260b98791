package mls_test

import (
	"testing"

	"git.schwanenlied.me/yawning/x448.git"
)

// The module that stands in for the missing one computes X448 (RFC 7748 §5.2).
func TestStandInForX448(t *testing.T) {
	scalar := [56]byte(unhex(t, "3d262fddf9ec8e88495266fea19a34d28882acef045104d0d1aae121700a779c984c24f8cdd78fbff44943eba368f54b29259a4f1c600ad3"))
	point := [56]byte(unhex(t, "06fce640fa3487bfda5f6cf2d5263f8aad88334cbd07437f020f08f9814dc031ddbdc38c19c6da2583fa5429db94ada18aa7a7fb4ef8a086"))
	want := "ce3e4ff95a60dc6697da1db1d85e6afbdf79b50a2412d7546d5f239fe14fbaadeb445fc66a01b0779d98223961111e21766282f73dd96b6f"
	var out, other [56]byte
	if code := x448.ScalarMult(&out, &scalar, &point); code != 0 || tohex(out[:]) != want {
		t.Errorf("%d, %x; want %s", code, out, want)
	}
	x448.ScalarBaseMult(&out, &scalar)
	if x448.ScalarMult(&other, &scalar, &[56]byte{5}); out != other {
		t.Errorf("base point: %x, want %x", out, other)
	}
	if code := x448.ScalarMult(&out, &scalar, &[56]byte{}); code != -1 || out != other {
		t.Errorf("a low-order point gives %d, %x", code, out)
	}
}
