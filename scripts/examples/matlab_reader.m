% Read what a session decodes, in MATLAB or Octave, with liblsl-Matlab
% (https://github.com/labstreaminglayer/liblsl-Matlab) on the path. The session:
%   rt-decoder run --model me.rtd.safetensors --name MyAmp --markers MyStimuli --outlet decoder
lib = lsl_loadlib();
found = {};
while isempty(found)
    found = lsl_resolve_byprop(lib, 'name', 'decoder-scores');
end
inlet = lsl_inlet(found{1});
info = inlet.info();

% names of the items, in the order of their numbers: the first is number 0
items = {};
node = info.desc().child('items').child('item');
while ~node.empty()
    items{end + 1} = node.child_value(); %#ok<SAGROW>
    node = node.next_sibling();
end

while true
    % cosine, probability, quality, latency in ms, seq, item, abstained, state, kind
    [numbers, stamp] = inlet.pull_sample();
    if numbers(7)
        fprintf('%10.3f  -\n', stamp);
    else
        fprintf('%10.3f  %s  %.2f\n', stamp, items{numbers(6) + 1}, numbers(2));
    end
end
