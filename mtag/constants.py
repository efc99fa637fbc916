"""Numbers that training, inference and the weights bundle share (Tables 1 to 3 of the paper)."""

SAMPLE_RATE = 16_000  # Hz
WINDOW_SAMPLES = 465_600  # samples in one window, Table 3's input
WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_RATE  # 29.1 s

N_FFT = 2_048  # samples in one Hann-windowed frame
HOP_LENGTH = 787  # samples between frames; about 20.3 frames a second
N_MELS = 128  # Slaney-normalised mel bands
F_MIN = 0.0  # Hz
F_MAX = SAMPLE_RATE / 2  # Hz
POWER_FLOOR = 1e-10  # power below this reads as -100 dB
N_FRAMES = 1 + WINDOW_SAMPLES // HOP_LENGTH  # centred frames in one window

MIN_TRACK_SECONDS = 1.0  # shorter tracks are refused
MIN_REST_SAMPLES = WINDOW_SAMPLES // 4  # a shorter rest at a track's end gets no window of its own
SILENCE_DBFS = -60.0  # a window with a lower RMS level is left out

N_TAGS = 50  # MagnaTagATune's most frequent tags

if N_FRAMES != 592:
    raise ValueError(f"{N_FRAMES} frames a window: the networks' shapes need 592")
